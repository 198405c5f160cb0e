"""The form of stored values as plain data, and whether a program with another form can read them.

A form is JSON-able and holds what decides how bytes are read, and no name of a class::

    {"kind":"int"}   {"kind":"list","of":FORM}   {"kind":"tuple","items":[FORM,…]}
    {"kind":"dict","key":FORM,"value":FORM}   {"kind":"union","types":[FORM,…]}
    {"kind":"enum","values":[…]}   {"kind":"class","name":NAME}
    {"kind":"object","fields":{NAME:{"form":FORM,"required":BOOL}},"tag":TAG,"as_array":BOOL}

``{"kind":"any"}`` is plain data without a declared type. ``None`` instead of a form says that nothing is
known, as of a serde of the user's own.

A class may gain fields with defaults and lose fields. ``merged`` keeps the fields that a class has lost, so
that a later field of the same name is compared with the values that are still stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec
import msgspec.inspect as inspect

Form: TypeAlias = dict[str, Any]

_PLAIN: Final = ("none", "bool", "int", "float", "str", "any")
_ITEMS: Final = ("list", "set", "frozenset", "vartuple", "collection")


def form_of(value_type: Any) -> Form | None:
    """Return the form of the values of a type; ``None`` for ``None``."""
    if value_type is None:
        return None
    if _is_pydantic(value_type):
        return _pydantic_form(value_type)
    try:
        return _form(inspect.type_info(value_type), ())
    except TypeError:
        return _named(value_type)


def difference(stored: Form, declared: Form, where: str = "the value") -> str | None:
    """Return why values of the stored form cannot be read as the declared form; ``None`` if they can.

    Plain data without a type may get a type: values that do not fit then fail to decode, with an error.
    """
    if stored["kind"] == "any" or _are_same(stored, declared):
        return None
    if stored["kind"] == "union" or declared["kind"] == "union":
        return _union_difference(stored, declared, where)
    kind, now = stored["kind"], declared["kind"]
    if now == "any":
        return None if _is_plain(stored) else f"{where} was {_text(stored)} and is untyped now"
    if kind == "int" and now == "float":
        return None
    if kind != now:
        return f"{where} was {_text(stored)} and is {_text(declared)} now"
    if kind in _ITEMS:
        return difference(stored["of"], declared["of"], f"an item of {where}")
    if kind == "tuple":
        return _tuple_difference(stored["items"], declared["items"], where)
    if kind == "dict":
        return difference(stored["key"], declared["key"], f"a key of {where}") or difference(
            stored["value"], declared["value"], f"an entry of {where}"
        )
    if kind == "enum":
        gone = [value for value in stored["values"] if value not in declared["values"]]
        return f"{where} may not be {gone[0]!r} any more" if gone else None
    if kind == "object":
        return _object_difference(stored, declared, where)
    return f"{where} was {_text(stored)} and is {_text(declared)} now"


def merged(stored: Form | None, declared: Form | None) -> Form | None:
    """Return the form of a store that holds values of both: fields that only one of them has are not
    required.
    """
    if stored is None or declared is None or stored == declared:
        return declared if declared is not None else stored
    if stored["kind"] == "any":
        return declared
    if stored["kind"] != declared["kind"]:
        return declared
    if stored["kind"] == "object":
        return _merged_object(stored, declared)
    result = dict(declared)
    for part in ("of", "key", "value"):
        if part in declared:
            result[part] = merged(stored[part], declared[part])
    if "items" in declared and len(stored["items"]) == len(declared["items"]):
        pairs = zip(stored["items"], declared["items"], strict=True)
        result["items"] = [merged(before, now) for before, now in pairs]
    return result


def _merged_object(stored: Form, declared: Form) -> Form:
    before, now = stored["fields"], declared["fields"]
    fields = {}
    for name in [*now, *(name for name in before if name not in now)]:
        if name in before and name in now:
            fields[name] = {
                "form": merged(before[name]["form"], now[name]["form"]),
                "required": before[name]["required"] and now[name]["required"],
            }
        else:
            fields[name] = {**(now.get(name) or before[name]), "required": False}
    return {**declared, "fields": fields}


def _union_difference(stored: Form, declared: Form, where: str) -> str | None:
    before = stored["types"] if stored["kind"] == "union" else [stored]
    now = declared["types"] if declared["kind"] == "union" else [declared]
    for form in before:
        reasons = [difference(form, other, where) for other in now]
        if None not in reasons:
            alike = [
                reason
                for reason, other in zip(reasons, now, strict=True)
                if other["kind"] == form["kind"] and form["kind"] in ("object", *_ITEMS, "dict", "enum")
            ]
            return alike[0] if alike else f"{where} may not be {_text(form)} any more"
    return None


def _tuple_difference(stored: list[Form], declared: list[Form], where: str) -> str | None:
    if len(stored) != len(declared):
        return f"{where} had {len(stored)} items and has {len(declared)} now"
    for number, (before, now) in enumerate(zip(stored, declared, strict=True)):
        if found := difference(before, now, f"item {number} of {where}"):
            return found
    return None


def _object_difference(stored: Form, declared: Form, where: str) -> str | None:
    if stored.get("tag") != declared.get("tag"):
        return f"the tag of {where} was {stored.get('tag')} and is {declared.get('tag')} now"
    if stored["as_array"] != declared["as_array"]:
        return f"{where} is written in another way (array_like)"
    before, now = stored["fields"], declared["fields"]
    if declared["as_array"] and list(before) != list(now)[: len(before)]:
        return f"the order of the fields of {where} changed"
    if declared.get("forbids_others") and (others := [name for name in before if name not in now]):
        return f"{where} had a field {others[0]!r}, which its class forbids now"
    for name, field in now.items():
        if name not in before:
            if field["required"]:
                return f"{where} has a new field {name!r} without a default"
            continue
        if field["required"] and not before[name]["required"]:
            return f"the field {name!r} of {where} has no default any more"
        if found := difference(before[name]["form"], field["form"], f"the field {name!r} of {where}"):
            return found
    return None


def _are_same(stored: Form, declared: Form) -> bool:
    """Whether two forms are equal, including the order of fields."""
    return msgspec.json.encode(stored) == msgspec.json.encode(declared)


def _is_plain(form: Form) -> bool:
    kind = form["kind"]
    if kind == "list":
        return _is_plain(form["of"])
    if kind == "dict":
        return form["key"]["kind"] == "str" and _is_plain(form["value"])
    if kind == "union":
        return all(_is_plain(part) for part in form["types"])
    return kind in _PLAIN


def _text(form: Form) -> str:
    kind: str = form["kind"]
    if kind in _ITEMS:
        return f"{kind}[{_text(form['of'])}]"
    if kind == "union":
        return " | ".join(_text(part) for part in form["types"])
    if kind == "dict":
        return f"dict[{_text(form['key'])}, {_text(form['value'])}]"
    if kind == "object":
        return f"an object of {', '.join(form['fields']) or 'no fields'}"
    return str(form.get("name", kind))


def _form(info: inspect.Type, around: tuple[type, ...]) -> Form:
    """Return the form of a type by msgspec's inspection; a class within itself is its name."""
    match info:
        case inspect.Metadata():
            return _form(info.type, around)
        case inspect.UnionType():
            parts = [_form(part, around) for part in info.types]
            return {"kind": "union", "types": sorted(parts, key=lambda part: msgspec.json.encode(part))}
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return {"kind": _kind(info), "of": _form(info.item_type, around)}
        case inspect.TupleType():
            return {"kind": "tuple", "items": [_form(item, around) for item in info.item_types]}
        case inspect.DictType():
            return {
                "kind": "dict",
                "key": _form(info.key_type, around),
                "value": _form(info.value_type, around),
            }
        case inspect.EnumType():
            return {"kind": "enum", "values": [_plain_value(member.value) for member in info.cls]}
        case inspect.LiteralType():
            return {"kind": "enum", "values": [_plain_value(value) for value in info.values]}
        case inspect.CustomType():
            return _named(info.cls)
        case _:
            pass
    fields = getattr(info, "fields", None)
    if fields is None:
        return {"kind": _kind(info)}
    cls: type = getattr(info, "cls", object)
    if cls in around:
        return _named(cls)
    return {
        "kind": "object",
        "fields": {
            field.encode_name: {"form": _form(field.type, (*around, cls)), "required": field.required}
            for field in fields
        },
        "tag": _plain_value(getattr(info, "tag", None)),
        "as_array": isinstance(info, inspect.NamedTupleType) or bool(getattr(info, "array_like", False)),
        "forbids_others": bool(getattr(info, "forbid_unknown_fields", False)),
    }


def _kind(info: inspect.Type) -> str:
    return type(info).__name__.removesuffix("Type").lower()


def _named(value_type: Any) -> Form:
    name = f"{getattr(value_type, '__qualname__', value_type)}"
    return {"kind": "class", "name": name}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _is_pydantic(value_type: Any) -> bool:
    return isinstance(value_type, type) and hasattr(value_type, "model_fields")


def _pydantic_form(model: Any, around: tuple[type, ...] = ()) -> Form:
    if model in around:
        return _named(model)
    fields: Mapping[str, Any] = model.model_fields
    found = {}
    for name, field in fields.items():
        annotation = field.annotation
        form = (
            _pydantic_form(annotation, (*around, model))
            if _is_pydantic(annotation)
            else form_of(annotation) or {"kind": "none"}
        )
        found[field.serialization_alias or field.alias or name] = {
            "form": form,
            "required": field.is_required(),
        }
    forbids = getattr(model, "model_config", {}).get("extra") == "forbid"
    return {"kind": "object", "fields": found, "tag": None, "as_array": False, "forbids_others": forbids}
