"""Traffic rules: which of a model's versions answers a request.

`ModelStore.acquire` asks the model's rule, `TrafficRule.choose`, and holds the version that it names. There is one rule today,
`NamedOrNewest`. To add a rule, write one file here with one class, and hand what makes it to `ServerOptions.traffic_rule`:

    class HalfToSecond(TrafficRule):
        def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
            if request.is_bound:
                return NAMED_OR_NEWEST.choose(request, routes)
            return routes.by_number.get(2) if random.random() < 0.5 else routes.newest

What a rule needs to give versions their shares is there: `request.key` for a choice that stays the same for a client,
`routes` for the versions that can answer at this moment, the model's configuration when the rule is made. A shadow copy is no
matter of the choice: who is told of answered requests holds the shadow's version by its number, and asks it in its own time.
"""
