"""The paper's own numbers, to be laid beside ours; nothing is ever fitted to them."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def xor5d_medians() -> pd.DataFrame:
    """Medians read off the paper's Figs 1 and 4 by pixel (error +-1 point, epochs +-1).

    Returns
    -------
    pandas.DataFrame
        Columns figure, metric, hidden_units, condition, n_train, median_or_pct. Metrics:
        ``val_error_at_convergence_pct``, ``epochs_to_accuracy_0.90``, ``success_rate_0.90_pct``.
    """
    with files(__package__).joinpath("xor5d_medians.csv").open() as file:
        return pd.read_csv(file)


def image_medians() -> pd.DataFrame:
    """Medians over 20 trials that the authors' notebooks print (Figs 2, 3 and C.2 to C.4).

    Returns
    -------
    pandas.DataFrame
        Columns dataset, metric, threshold, condition, n_train, median. Metrics:
        ``val_error_at_convergence_pct`` (per cent; threshold is NaN) and ``epochs_to_accuracy``
        (epochs from 0, over the trials that got there; NaN where the authors give none).
    """
    with files(__package__).joinpath("image_medians.csv").open() as file:
        return pd.read_csv(file)
