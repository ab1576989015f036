"""A daemon that outlives its starter, asks for its token, keeps to itself, and ends wholly and alone."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests_ray_runtime import process

from raypipe.core.home import Home
from raypipe.runtime import daemon
from raypipe.runtime.doctor import examine
from raypipe.runtime.ports import choose_ports
from raypipe.runtime.processes import marked
from raypipe.runtime.state import Cluster, read_cluster
from raypipe.runtime.status import status
from raypipe.serving.config import ServingSettings

Run = Callable[..., str]
