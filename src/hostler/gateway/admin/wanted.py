"""How a route gets its collaborators."""

from __future__ import annotations

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from hostler.gateway.admin.services import Services

Wanted = NamedDependency[SkipValidation[Services]]
