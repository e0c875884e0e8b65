"""The one place that knows which networks there are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.own.spec import OwnNetwork

#: Any network, as messages hold it.
AnyNetwork = Annotated[BuiltinNetwork | OwnNetwork, Discriminator("kind")]
