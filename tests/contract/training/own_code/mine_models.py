"""Models such as users write: none knows of raypipe."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


class Centroids:
    """Nearest class centres; no scikit-learn, only fit, predict and predict_proba."""

    def __init__(self, sharpness=1.0):
        self.sharpness = sharpness

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.centres_ = np.stack([np.asarray(x)[y == code].mean(axis=0) for code in self.classes_])
        return self

    def predict_proba(self, x):
        far = ((np.asarray(x, np.float64)[:, None, :] - self.centres_) ** 2).sum(axis=2) * self.sharpness
        powers = np.exp(far.min(axis=1, keepdims=True) - far)
        return powers / powers.sum(axis=1, keepdims=True)

    def predict(self, x):
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


class Mean:
    """Values alone, kept by itself."""

    def __init__(self, shrink=0.0):
        self.shrink = shrink

    def fit(self, x, y):
        self.slope_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0] * (1 - self.shrink)

    def predict(self, x):
        return (np.asarray(x, np.float64)[:, None, :] * self.slope_[:-1]).sum(axis=2)[:, 0] + self.slope_[-1]

    def save(self, folder):
        (Path(folder) / "mean.json").write_text(json.dumps(self.slope_.tolist()))

    @staticmethod
    def load(folder):
        made = Mean()
        made.slope_ = np.array(json.loads((Path(folder) / "mean.json").read_text()))
        return made


def save_arrays(model, folder):
    np.savez(folder / "arrays.npz", classes=model.classes_, centres=model.centres_)


def load_arrays(folder):
    made = Centroids()
    with np.load(folder / "arrays.npz") as arrays:
        made.classes_, made.centres_ = arrays["classes"], arrays["centres"]
    return made


def save_pickle(model, folder):
    import pickle

    (folder / "sly.bin").write_bytes(pickle.dumps(model.centres_))


def load_pickle(folder):
    raise AssertionError("the loader must not be reached")


class Closed:
    """Holds a fraction, which nothing but a pickle keeps."""

    def fit(self, x, y):
        self.share_ = Fraction(int(np.sum(y)), len(y))
        return self

    def predict_proba(self, x):
        first = float(self.share_) + 0.4 * np.tanh(np.asarray(x)[:, 0].astype(np.float64))
        return np.column_stack([1 - first, first])

    def predict(self, x):
        return self.predict_proba(x).argmax(axis=1)


class Drawn(ClassifierMixin, BaseEstimator):
    """Draws at random without asking for a seed, answers by the batch, and writes into its rows."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.centre_ = np.random.default_rng().normal()
        return self

    def predict_proba(self, x):
        first = 1 / (1 + np.exp(-(x[:, 0] - x[:, 0].mean() + self.centre_)))
        return np.column_stack([1 - first, first])


class OnlyLabels:
    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.zeros(len(x))


def forest(n_trees=10, depth=4):
    """A factory."""
    return RandomForestClassifier(n_estimators=n_trees, max_depth=depth)


scaled_forest: Pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=10))


def rule(x, threshold=0.0):
    """A plain function of an array: the probability of the second class."""
    return np.where(x[:, 0] > threshold, 0.9, 0.1)


def rule_by_name(frame, column="f0"):
    """A plain function of a frame."""
    return 1_000.0 + 50.0 * frame[column].to_numpy(np.float64)


class Net(torch.nn.Module):
    def __init__(self, n_inputs, n_outputs, width=16):
        super().__init__()
        self.inner = torch.nn.Linear(n_inputs, width)
        self.norm = torch.nn.BatchNorm1d(width)
        self.outer = torch.nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.outer(torch.relu(self.norm(self.inner(x))))


class Crooked(torch.nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.only = torch.nn.Linear(n_inputs, n_outputs + 1)

    def forward(self, x):
        return self.only(x)
