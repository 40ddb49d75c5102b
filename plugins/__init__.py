"""The contract between the console and its plugins. Everything an author needs is importable from here.

Nothing here imports torch, and nothing here imports the console or a backend.
"""

from .attack import Attack, Knowledge, Recovered
from .backend import Backend, Models, Requirement, Slot, cards_of
from .classifier import Classifier
from .errors import Failure, UnfedError
from .guarantee import Claim, badge
from .hookspecs import hookimpl
from .image import Image, QueryKind, misfit
from .launch import Emulation, Launcher, ModelSource, OpenedModel, PartyProcess, PartySpec
from .models import ModelCard, layers, split_evenly
from .options import Options
from .plan import CLIENT, Link, Party, Plan, chain
from .query import (
    Answer,
    Contribution,
    Event,
    Failed,
    Finished,
    LinkCount,
    Metric,
    Note,
    Phase,
    Query,
    Route,
    Started,
    Token,
    Trace,
)
from .reward import RewardScheme
from .role import Channel, ClientRole, Context, Model, Role, serve
from .view import Array, Entry, View

__all__ = [
    "CLIENT",
    "Answer",
    "Array",
    "Attack",
    "Backend",
    "Channel",
    "Claim",
    "Classifier",
    "ClientRole",
    "Context",
    "Contribution",
    "Emulation",
    "Entry",
    "Event",
    "Failed",
    "Failure",
    "Finished",
    "Image",
    "Knowledge",
    "Launcher",
    "Link",
    "LinkCount",
    "Metric",
    "Model",
    "ModelCard",
    "ModelSource",
    "Models",
    "Note",
    "OpenedModel",
    "Options",
    "Party",
    "PartyProcess",
    "PartySpec",
    "Phase",
    "Plan",
    "Query",
    "QueryKind",
    "Recovered",
    "Requirement",
    "RewardScheme",
    "Role",
    "Route",
    "Slot",
    "Started",
    "Token",
    "Trace",
    "UnfedError",
    "View",
    "badge",
    "cards_of",
    "chain",
    "hookimpl",
    "layers",
    "misfit",
    "serve",
    "split_evenly",
]
