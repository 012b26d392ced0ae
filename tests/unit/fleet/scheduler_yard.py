"""A scheduler driven by hand."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.engines.state import Starting
from hostler.errors import HostlerError
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.scheduler import step

GIB = 2**30
RULES = Rules(queue=4, starvation_s=30.0, load_tries=3, backoff_s=2.0)


class Yard:
    """Drives the scheduler by hand and answers its Prepare effects with a table of needs."""

    def __init__(self, needs: Mapping[str, int], budget: int = 10 * GIB, rules: Rules = RULES) -> None:
        self.needs, self.budget, self.rules = needs, budget, rules
        self.state, self.now, self.tickets = m.State(), 0.0, 0
        self.pins: set[str] = set()
        self.ttl: dict[str, float] = {}
        self.clears: dict[str, tuple[str, ...]] = {}
        self.context: dict[str, int] = {}
        self.full: dict[str, int] = {}
        self.slots = 1
        self.done: list[m.Effect] = []

    def prepared(self, profile: str) -> int:
        return sum(isinstance(e, m.Prepare) and e.profile == profile for e in self.done)

    def tell(self, message: m.Message) -> list[m.Effect]:
        self.state, effects = step(self.state, message, self.at())
        self.done += effects
        for effect in list(effects):
            if isinstance(effect, m.Prepare):
                effects += self.tell(m.Prepared(effect.profile, self.want(effect.profile)))
            elif isinstance(effect, m.Bring):
                self.ask(effect.profile, lease=False, mate=True, back=effect.back)
        return effects

    def at(self) -> m.Situation:
        return m.Situation(now=self.now, budget={"host": self.budget}, rules=self.rules)

    def want(self, profile: str) -> m.Want:
        return m.Want(
            key="k",
            need={"host": self.needs[profile]},
            slots=self.slots,
            pin=profile in self.pins,
            ttl_s=self.ttl.get(profile),
            clears=self.clears.get(profile, ()),
            context=self.context.get(profile, 0),
            full={"host": self.full[profile]} if profile in self.full else None,
        )

    def ask(
        self,
        profile: str,
        *,
        lease: bool = True,
        urgent: bool = False,
        forgive: bool = False,
        mate: bool = False,
        back: int | None = None,
    ) -> int:
        self.tickets = number = self.tickets + 1
        waiter = m.Waiter(
            ticket=number, profile=profile, since=self.now, lease=lease, urgent=urgent, mate=mate, back=back
        )
        self.tell(m.Ask(waiter=waiter, forgive=forgive))
        return number

    def loaded(self, profile: str) -> str:
        instance = self.one(profile, Starting)
        self.tell(m.Loaded(instance, {"host": self.needs[profile]}))
        return instance

    def resident(self, profile: str) -> str:
        """Load it and let it answer one request."""
        self.ask(profile)
        instance = self.loaded(profile)
        self.tell(m.Release(instance, healthy=True))
        return instance

    def one(self, profile: str, state: type) -> str:
        return next(i.id for i in self.state.instances.values() if i.profile == profile and isinstance(i.state, state))

    def granted(self, ticket: int) -> bool:
        return any(isinstance(e, m.Grant) and e.ticket == ticket for e in self.done)

    def refused(self, ticket: int) -> HostlerError | None:
        return next((e.error for e in self.done if isinstance(e, m.Refuse) and e.ticket == ticket), None)

    def started(self) -> list[str]:
        return [e.profile for e in self.done if isinstance(e, m.Start)]

    def stopped(self) -> list[str]:
        return [e.instance for e in self.done if isinstance(e, m.Stop)]
