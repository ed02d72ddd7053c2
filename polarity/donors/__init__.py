"""Networks whose polarity is transferred."""

from .catalogue import DONORS, donor
from .donor import Donor, donor_from_weights

__all__ = ["DONORS", "Donor", "donor", "donor_from_weights"]
