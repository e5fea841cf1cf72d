"""Runs operations as graphql-core does, with two shortcuts for what most of a page is.

Fields that only show what their object holds: all that can be asked about a field (its path, its arguments, what it
returns) is made for each of them, and looked at by nobody. And fields that load one thing by its id: those of all
objects of a list are awaited together, and not each by a task of its own. Whatever is neither, and each value that is
not what its type says, goes graphql-core's way: errors are its own.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from graphql import DirectiveNode, DocumentNode, GraphQLList, GraphQLObjectType, GraphQLOutputType, Visitor, visit
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path, gather_with_cancel
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from services.gateway.plain_fields import Field, Loads, field_of, is_async, nullable


class _Plan(NamedTuple):
    """What is selected of an object.

    Attributes:
        fields: All of it, in order.
        others: What is neither plain nor loaded, in order.
        loaded: What is loaded.
        waits: Whether a list of such objects may wait for what they load: nothing else of theirs would begin later.
        selected: As graphql-core collected it; held, since plans are found by its address.
    """

    fields: list[Field]
    others: GroupedFieldSet
    loaded: list[Field]
    waits: bool
    selected: GroupedFieldSet


@dataclass(slots=True)
class Selections:
    """What is selected where in a document, for all who ask it; only of one in which no directive decides that.

    Attributes:
        roots: Root fields by the name of their operation.
        below: What graphql-core collected below fields, by where it does so itself.
        plans: Made of it.
    """

    roots: dict[str, GroupedFieldSet] = field(default_factory=dict)
    below: dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]] = field(default_factory=dict)
    plans: dict[tuple[str, int], _Plan] = field(default_factory=dict)

    @classmethod
    def of(cls, document: DocumentNode) -> "Selections | None":
        """Begin to collect; None where what is selected is not the same each time."""
        found = _Directives()
        visit(document, found)
        return None if found.are_there else cls()


class _Directives(Visitor):
    are_there = False

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        self.are_there = True


class Execution(StrawberryGraphQLCoreExecutionContext):
    """One operation, whose context may hold the `selections` of its document."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept: Selections | None = getattr(self.context_value, "selections", None)
        self._roots: dict[str, GroupedFieldSet] = {} if kept is None else kept.roots
        self._plans: dict[tuple[str, int], _Plan] = {} if kept is None else kept.plans
        if kept is not None:
            self._relevant_sub_fields = kept.below

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: GroupedFieldSet,
        serially: bool,
        new_defer_usages: Sequence[Any],
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Begin with the very fields that the document's last operation began with: all below is found by them."""
        name = self.operation.name.value if self.operation.name is not None else ""
        kept = self._roots.setdefault(name, grouped_field_set)
        return super().execute_collected_root_fields(root_type, root_value, kept, serially, new_defer_usages)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Show the plain fields of an object, and leave all others to graphql-core."""
        plan = self._plan(parent_type, grouped_field_set)
        shown: dict[str, Any] = {}
        awaited: dict[str, Any] = {}
        others = plan.others
        loaded: list[tuple[Field, Any]] = []
        for each in plan.fields:
            name, details, attribute, same, show, may_be_null, loads, _ = each
            shown[name] = None  # keeps its place
            if attribute is None:
                continue
            try:
                value = getattr(source_value, attribute)
                if value.__class__ is same:
                    shown[name] = value
                elif (value is None and may_be_null) or (loads is not None and not value):
                    pass
                elif loads is not None and (future := self._future(loads, value)).done():
                    if (message := future.result()) is not None:
                        loaded.append((each, loads.make(message)))
                elif loads is None and show is not None and (made := show(value)) is not None:
                    shown[name] = made
                else:
                    others = {**others, name: details}
            except Exception:  # graphql-core meets it again and tells it
                others = {**others, name: details}
        found: Any = None
        if others:
            if others is not plan.others:  # in the order of the document, in which errors are told
                others = {name: details for name, details in grouped_field_set.items() if name in others}
            found = super().execute_fields(parent_type, source_value, path, others, position_context)
            if not self.is_awaitable(found):
                shown.update(found)
                found = None
        for each, thing in loaded:
            completed = self._complete_loaded(parent_type, path, each, thing)
            if self.is_awaitable(completed):
                awaited[each.name] = completed
            else:
                shown[each.name] = completed
        return shown if found is None and not awaited else self._with(shown, awaited, found)

    async def _with(self, shown: dict[str, Any], awaited: dict[str, Any], others: Any) -> dict[str, Any]:
        """Wait for the rest of an object: for all of it at once, since it is loaded in batches."""
        if not awaited:
            shown.update(await others)
            return shown
        waited = [*awaited.values(), others] if others is not None else list(awaited.values())
        found = await gather_with_cancel(*waited)
        shown.update(zip(awaited, found, strict=False))
        if others is not None:
            shown.update(found[-1])
        return shown

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: Any,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        """Complete a list once all is loaded that its objects load by their ids."""
        arguments = (return_type, field_details_list, info, path, result, position_context)
        kind, _ = nullable(return_type.of_type)
        if type(result) is list and isinstance(kind, GraphQLObjectType):
            plan = self._plan(kind, self.collect_subfields(kind, field_details_list).grouped_field_set)
            if plan.loaded and plan.waits and (loading := self._begin_to_load(plan.loaded, result)):
                return self._complete_when(loading, super().complete_list_value, arguments)
        return super().complete_list_value(*arguments)

    def _begin_to_load(self, loaded: Iterable[Field], objects: Iterable[Any]) -> set[Any]:
        futures = {
            self._future(one.loads, key)
            for one in loaded
            for each in objects
            if one.loads is not None and (key := getattr(each, one.loads.key, None))
        }
        return {future for future in futures if not future.done()}

    async def _complete_when(self, loading: set[Any], complete: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        await asyncio.wait(loading)
        completed = complete(*arguments)
        return await completed if self.is_awaitable(completed) else completed

    def _future(self, loads: Loads, key: Any) -> "asyncio.Future[Any]":
        return cast("asyncio.Future[Any]", loads.loader(self.context_value).load(key))

    def _complete_loaded(
        self, parent_type: GraphQLObjectType, path: Path | None, loaded: Field, thing: Any
    ) -> AwaitableOrValue[Any]:
        """Show a thing that was loaded; what fails below it is told, and it is null."""
        field_path = Path(path, loaded.name, parent_type.name)
        try:
            made = self.collect_and_execute_subfields(loaded.kind, loaded.details, field_path, thing, None)
        except Exception as error:  # as graphql-core does around each field
            self.handle_field_error(error, loaded.kind, loaded.details, field_path)
            return None
        return self._guarded(made, loaded, field_path) if self.is_awaitable(made) else made

    async def _guarded(self, made: Any, loaded: Field, path: Path) -> Any:
        try:
            return await made
        except Exception as error:
            self.handle_field_error(error, loaded.kind, loaded.details, path)
            return None

    def _plan(self, parent_type: GraphQLObjectType, selected: GroupedFieldSet) -> _Plan:
        key = (parent_type.name, id(selected))
        plan = self._plans.get(key)
        if plan is None:
            fields = [field_of(parent_type, name, details) for name, details in selected.items()]
            others = {each.name: each.details for each in fields if each.attribute is None}
            loaded = [each for each in fields if each.loads is not None]
            waits = not any(is_async(parent_type, details[0].node.name.value) for details in others.values())
            plan = self._plans[key] = _Plan(fields, others, loaded, waits, selected)
        return plan
