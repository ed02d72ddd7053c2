"""Adam's constants, shared by both back ends: Keras' defaults, which the paper used."""

BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-7
