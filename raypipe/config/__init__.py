"""The stages' own settings gathered into one file."""

from raypipe.config.load import load_config
from raypipe.config.settings import ClusterSettings, Config

__all__ = ["ClusterSettings", "Config", "load_config"]
