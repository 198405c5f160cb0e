"""Keep a task's writes to one store during a commit interval, as Python objects.

Reads see the writes at once. Equal keys collapse, and only ``drain`` encodes: each changed key once, for
the changelog and for the engine. The steps of a commit are::

    writes = store.drain()        the changes, encoded; the store may be written meanwhile
    ...                           the transaction commits, the engine applies
    store.committed()             the drained keys are clean

or ``store.abort()``: everything that was not committed is forgotten.

Invariants:

* A changed key is never evicted before it is committed.
* A drain is sorted by key bytes, so the same writes give the same changelog, whatever the hash seed.
* ``None`` is not a value: writing it deletes the key.
* A key is its bytes: every dict here is keyed by the identities of ``KeyCodec.identify_many``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from streamcore.errors import SerdeError, fact_text
from streamcore.state.cache import TwoGenerationCache
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.keys import KeyBytes, KeyCodec
from streamcore.state.overlay import laid_over
from streamcore.state.record_sizes import NO_LIMIT, too_large
from streamcore.state.stored_values import undecodable

K = TypeVar("K")
V = TypeVar("V")

CACHE_ENTRIES_MAX: Final = 131_072

_MISSING: Final = object()
_CHUNK: Final = 256
_KEY_ROOM_BYTES: Final = 1 << 16
"""Values that are smaller than the limit by this are not measured together with their keys."""


@dataclass(slots=True)
class EventJournal(Generic[K]):
    """The values that the keys written by an event had before it; see ``WriteBack.begin_event``."""

    drain_count: int
    abort_count: int
    before: dict[Any, tuple[Any, bool]] = field(default_factory=dict)
    """Identity of a key -> (stored form, or ``None`` for no value; whether it was changed already)."""


class WriteBack(Generic[K, V]):
    """One store of one task as its owner sees it. Not for sharing between threads.

    There are two ways to use it: operators ``identify`` the keys of a batch, ``load`` these identities and
    work on the returned dict; agents use it like a dict, key by key.

    ``journal`` is the journal that records writes now; ``None`` if none does.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        keys: KeyCodec[K],
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        *,
        cache_entries_max: int = CACHE_ENTRIES_MAX,
        copy_on_read: bool = False,
        value_type: str = "",
    ) -> None:
        """Add write-back to one store of an engine.

        Args:
            value_type: the type of the values, for errors.
            copy_on_read: keep values encoded, so that each read returns a new object. For mutable values that
            are
                given to code that must not change the store's.
        """
        self.store = store
        self.journal: EventJournal[K] | None = None
        self.record_bytes_max = NO_LIMIT
        """The most bytes of a key and its value together that the changelog takes."""
        self._engine = engine
        self._keys = keys
        self._plain_type = keys.plain_type
        self._encode = encode
        self._decode = decode
        self._copies = copy_on_read
        self._value_type = value_type
        # Values in their kept form: objects, or encoded if each read returns a copy.
        self._cache: TwoGenerationCache[Any, Any] = TwoGenerationCache(cache_entries_max)
        self._dirty: dict[Any, None] = {}
        self._dirty_bytes: dict[Any, bytes | None] = {}
        """Of changed keys whose values were encoded by who put them: the bytes."""
        self._draining: dict[Any, None] = {}
        self._drain_count = 0
        self._abort_count = 0

    # -- for batch operators

    def identify(self, keys: Sequence[K]) -> Sequence[Any]:
        """Return the identity of each key in the dict of live values; ``keys`` itself if they are their own.

        Raises:
            SerdeError: a key is not of the store's key type; some such keys are found only by ``load``.
            TypeError: a key cannot be hashed.
        """
        return self._keys.identify_many(keys)

    def load(self, keys: Collection[Any]) -> dict[Any, V]:
        """Return the dict of live values, which contains every one of these identities that has a value.

        Change the dict directly, and call ``mark_dirty`` for the changed identities. It is valid until the
        next ``committed`` or ``abort``. With ``copy_on_read`` it is a dict of copies, for reading only.

        Raises:
            SerdeError: a key is not of the store's key type.
        """
        hot = self._cache.hot
        missing = [key for key in keys if key not in hot]
        if missing:
            self._fetch(missing)
        if self._copies:
            return {key: self._copy(key, hot[key]) for key in keys if key in hot}
        return hot

    def load_column(self, keys: Collection[Any]) -> tuple[dict[Any, V], list[V | None]]:
        """As ``load``, without ``copy_on_read``; also return the value of each identity, or ``None``."""
        assert not self._copies
        hot = self._cache.hot
        found: list[V | None] = list(map(hot.get, keys))
        if not all(found):
            missing = [key for key, value in zip(keys, found, strict=True) if value is None]
            self._fetch(missing)
            fetched = list(map(hot.get, missing))
            if any(value is not None for value in fetched):
                rest = iter(fetched)
                found = [next(rest) if value is None else value for value in found]
        return hot, found

    def ensure_key(self, key: K) -> None:
        """Refuse a key that this store cannot hold.

        Raises:
            SerdeError: it is not of the store's key type.
        """
        self._keys.encode(key)

    def shown_key(self, data: bytes) -> object:
        """Return a key of the engine for a message: decoded, or the bytes where they have another form."""
        try:
            return self._keys.decode(data)
        except Exception:  # noqa: BLE001 - a store with another layout, or an error of the user's class
            return data

    def encoded_keys(self, identities: Collection[Any]) -> list[bytes]:
        """Return the bytes of the keys with these identities."""
        return self._keys.encode_identities(identities)

    def mark_dirty(self, keys: Iterable[Any]) -> None:
        """Note that the values of these identities changed. To delete keys, use ``delete_many``."""
        changed = dict.fromkeys(keys)
        self._note_changed(changed)
        if self._cache.absent:
            self._cache.absent.difference_update(changed)

    def put_many(
        self, values: Mapping[Any, V | None], encoded: Mapping[Any, bytes | None] | None = None
    ) -> None:
        """Set the values of identities; ``None`` deletes one. Values that do not encode are found only by
        ``drain``.

        Args:
            values: identity -> value.
            encoded: the bytes of each of these values, if the caller has them, so that they are not encoded
                again.

        Raises:
            SerdeError: a key is not of the store's key type; nothing was written.
        """
        gone = [key for key, value in values.items() if value is None]
        present: Mapping[Any, Any] = values
        if gone:
            present = {key: value for key, value in values.items() if value is not None}
        if self._copies:
            encode = self._encode
            present = {
                key: encode(value) if encoded is None else encoded[key] for key, value in present.items()
            }
        self._before_writes(values)
        self._cache.set_many(present)
        self._cache.set_absent_many(gone)
        self._note_changed(values)
        if encoded is not None and not self._copies:
            self._dirty_bytes.update(encoded)

    def delete_many(self, keys: Iterable[Any]) -> None:
        """Delete identities; missing ones are ignored.

        Raises:
            SerdeError: a key is not of the store's key type; nothing was deleted.
        """
        self.put_many(dict.fromkeys(keys))

    # -- for agents, key by key

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value of a key, or ``default``.

        Raises:
            SerdeError: the key is not of the store's key type, or the stored value does not decode.
        """
        identity = key if type(key) is self._plain_type else self.identity(key)
        stored = self._cache.hot.get(identity, _MISSING)
        if stored is _MISSING:
            stored = self._stored(identity)
        if stored is None:
            return default
        return self._copy(key, stored) if self._copies else stored

    def put(self, key: K, value: V | None) -> None:
        """Set the value of a key; ``None`` deletes it.

        Raises:
            SerdeError: the key is not of the store's key type, or the value does not encode.
            RecordTooLargeError: the changelog does not take a value of this size.
        """
        if value is None:
            self.delete(key)
            return
        try:
            encoded = self._encode(value)
        except Exception as error:  # an error of the user's serde or class
            raise self._unencodable(key, value, error) from error
        if len(encoded) + _KEY_ROOM_BYTES > self.record_bytes_max:
            self._ensure_fits(key, encoded)
        identity = key if type(key) is self._plain_type else self.identity(key)
        hot = self._cache.hot
        if self.journal is None and identity in hot:
            # A hot key is neither cold nor absent, and was encoded before.
            hot[identity] = encoded if self._copies else value
            self._dirty[identity] = None
            if self._dirty_bytes:
                self._dirty_bytes.pop(identity, None)
        else:
            self._set(identity, encoded if self._copies else value)

    def delete(self, key: K) -> None:
        """Delete a key; a missing one is ignored."""
        self._delete(self.identity(key))

    def __contains__(self, key: K) -> bool:
        return self._stored(self.identity(key)) is not None

    def identity(self, key: K) -> Any:
        """Return the identity of a key in journals and dicts.

        Raises:
            SerdeError: the key is not of the store's key type.
        """
        return key if type(key) is self._plain_type else self._keys.identify_many((key,))[0]

    def items(self) -> Iterator[tuple[K, V]]:
        """Return all keys and values in the order of their key bytes, as of this call."""
        return self._decoded(self._merged(None, None, self._changed()))

    def range(self, start: K | None, end: K | None) -> Iterator[tuple[K, V]]:
        """Return the keys in ``[start, end)`` with their values, in order, as of this call."""
        low = None if start is None else self._keys.encode(start)
        high = None if end is None else self._keys.encode(end)
        return self._decoded(self._merged(low, high, self._changed()))

    # -- undoing one event

    def begin_event(self) -> EventJournal[K]:
        """Begin to record overwritten values key by key, so that one event can be undone.

        The journal is in effect until ``end_event``, or until another is set as ``journal``: with several
        events in progress, set that of the running one.
        """
        self.journal = EventJournal(self._drain_count, self._abort_count)
        return self.journal

    def end_event(self) -> None:
        """Keep the writes of the event and stop recording."""
        self.journal = None

    def rollback_event(self, journal: EventJournal[K]) -> None:
        """Restore the values that the event's keys had before it; end the event."""
        if self.journal is journal:
            self.journal = None
        if journal.abort_count != self._abort_count:
            return
        for key, (stored, was_dirty) in journal.before.items():
            self._dirty_bytes.pop(key, None)
            if stored is None:
                self._cache.set_absent(key)
            else:
                self._cache.set(key, stored)
            if was_dirty or journal.drain_count != self._drain_count:
                self._dirty[key] = None
            else:
                self._dirty.pop(key, None)

    # -- the commit

    @property
    def is_dirty(self) -> bool:
        """Whether ``drain`` would return anything."""
        return bool(self._dirty)

    @property
    def has_writes(self) -> bool:
        """Whether a key has changed since the last drain."""
        return bool(self._dirty)

    def drain(self) -> StoreWrites | None:
        """Return the changes since the last drain, encoded and sorted; ``None`` if there are none.

        Raises:
            SerdeError: a value does not encode; nothing was drained.
        """
        assert not self._draining, "the drain before this one was neither committed nor aborted"
        if not self._dirty:
            return None
        identities, encoded = self._keys.in_order(self._dirty)
        kept: list[Any] = list(map(self._cache.hot.get, identities))
        values: list[bytes | None]
        try:
            if self._copies:
                values = kept
            elif self._dirty_bytes:
                values = list(map(self._dirty_bytes.get, identities))
                if None in values:
                    values = list(map(self._encoded, identities))
            elif None in kept:
                encode = self._encode
                values = [None if value is None else encode(value) for value in kept]
            else:
                values = list(map(self._encode, kept))
        except Exception:  # noqa: BLE001 - once more, key by key, to tell which it was
            values = list(map(self._encoded, identities))
        self._cache.weigh(values)
        self._draining, self._dirty = self._dirty, {}
        self._dirty_bytes = {}
        self._drain_count += 1
        return StoreWrites(self.store, encoded, values)

    def committed(self) -> None:
        """Mark the drained keys clean, because the engine has them; they may be evicted."""
        self._draining = {}
        self._cache.trim(self._dirty)

    def abort(self) -> None:
        """Forget everything that is not in the engine, and the whole cache: values may have been changed in
        place.
        """
        self._cache.clear()
        self._dirty = {}
        self._dirty_bytes = {}
        self._draining = {}
        self._abort_count += 1
        self.journal = None

    # -- within

    def _stored(self, key: Any) -> Any:
        """Return the kept form of a key's value, or ``None``."""
        stored = self._cache.hot.get(key, _MISSING)
        if stored is not _MISSING:
            return stored
        self._fetch([key])
        return self._cache.hot.get(key)

    def _fetch(self, keys: list[Any]) -> None:
        """Look keys up that are not hot."""
        cache = self._cache
        unknown = cache.unknown(keys)
        if not unknown:
            return
        encoded = self._keys.encode_identities(unknown)
        if cache.holds_all is None:
            # What was written since is in the cache until the engine has it.
            cache.holds_all = next(self._engine.scan(self.store), None) is None
        if cache.holds_all:
            return
        found = self._engine.get_many(self.store, encoded)
        cache.weigh(found)
        hot, absent, decode, copies = cache.hot, cache.absent, self._decode, self._copies
        for key, data in zip(unknown, found, strict=True):
            if data is None:
                absent.add(key)
            elif copies:
                hot[key] = data
            else:
                try:
                    hot[key] = decode(data)
                except Exception as error:  # an error of the user's serde or class
                    raise self._undecodable(key, data, error) from error

    def _copy(self, key: Any, stored: Any) -> V:
        try:
            return self._decode(stored)
        except Exception as error:  # an error of the user's serde or class
            raise self._undecodable(key, stored, error) from error

    def _encoded(self, key: Any) -> bytes | None:
        """Return the value of a changed key in its stored form."""
        value = self._cache.hot.get(key)
        if value is None or self._copies:
            return value
        known = self._dirty_bytes.get(key)
        if known is not None:
            return known
        try:
            return self._encode(value)
        except Exception as error:  # an error of the user's serde or class
            raise self._unencodable(key, value, error) from error

    def _unencodable(self, key: object, value: object, error: Exception) -> SerdeError:
        facts = fact_text(store=self.store, key=repr(key)[:100], value=repr(value)[:100])
        return SerdeError(f"a value does not fit its store: {error}: {facts}")

    def _ensure_fits(self, key: Any, encoded: bytes, more_bytes: int = 0) -> None:
        """Refuse a value that the changelog does not take, with ``more_bytes`` that are stored beside it."""
        size_bytes = len(self._keys.encode(key)) + len(encoded) + more_bytes
        if size_bytes > self.record_bytes_max:
            raise too_large(table=self.store, key=key, size_bytes=size_bytes, bytes_max=self.record_bytes_max)

    def _undecodable(self, identity: Any, data: bytes, error: Exception) -> SerdeError:
        key = self._keys.decode(identity.data) if isinstance(identity, KeyBytes) else identity
        return undecodable(error, table=self.store, key=key, data=data, value_type=self._value_type)

    def _delete(self, key: Any) -> None:
        self._before_write(key)
        self._cache.set_absent(key)
        self._dirty[key] = None
        self._dirty_bytes.pop(key, None)

    def _set(self, key: Any, stored: Any) -> None:
        self._before_write(key)
        self._cache.set(key, stored)
        self._dirty[key] = None
        self._dirty_bytes.pop(key, None)

    def _note_changed(self, keys: Iterable[Any]) -> None:
        """Mark keys whose values have changed, other than by ``_set`` and ``_delete``."""
        self._dirty.update(dict.fromkeys(keys))
        if self._dirty_bytes:
            for key in keys:
                self._dirty_bytes.pop(key, None)

    def _refuse(self, keys: Collection[Any]) -> None:
        """Refuse identities, at least one, of which one does not encode."""
        self._keys.encode_identities(keys)

    def _before_write(self, key: Any) -> None:
        """Refuse a wrong key before it is cached; record the key's present value in the journal."""
        journal = self.journal
        if journal is None:
            if key not in self._cache.hot:
                self._refuse((key,))
        elif key not in journal.before:
            journal.before[key] = (self._stored(key), key in self._dirty)

    def _before_writes(self, keys: Iterable[Any]) -> None:
        """As ``_before_write``, for many keys at once."""
        if self.journal is not None:
            for key in keys:
                self._before_write(key)
            return
        # Keys that are known to have no value were looked up by their bytes.
        hot, absent = self._cache.hot, self._cache.absent
        unknown = [key for key in keys if key not in hot and key not in absent]
        if unknown:
            self._refuse(unknown)

    def _changed(self) -> list[Any]:
        return [*self._draining, *(key for key in self._dirty if key not in self._draining)]

    def _merged(
        self, start: bytes | None, end: bytes | None, changed: list[Any]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Return the engine's pairs of a range with the changed keys merged in, as of now."""
        overlay: dict[bytes, bytes | None] = {}
        for key, data in zip(changed, self._keys.encode_identities(changed), strict=True):
            if (start is None or start <= data) and (end is None or data < end):
                overlay[data] = self._encoded(key)
        pairs = self._engine.scan(self.store, start, end)
        return laid_over(pairs, overlay) if overlay else pairs

    def _decoded(self, pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[K, V]]:
        while chunk := list(islice(pairs, _CHUNK)):
            keys = self._keys.decode_many([data for data, _ in chunk])
            values = [self._copy(key, data) for key, (_, data) in zip(keys, chunk, strict=True)]
            yield from zip(keys, values, strict=True)
