"""What the paper invented, useful alone: template, reset rules, Freeze-SGD. Knows no experiment."""

from polarity.core.files import DamagedFileError, FileVersionError, TemplateFileError
from polarity.core.freeze import FreezeSGD
from polarity.core.parameters import weight_names
from polarity.core.reset import RESET_RULES, reset_
from polarity.core.template import PolarityTemplate

__all__ = [
    "RESET_RULES",
    "DamagedFileError",
    "FileVersionError",
    "FreezeSGD",
    "PolarityTemplate",
    "TemplateFileError",
    "reset_",
    "weight_names",
]
