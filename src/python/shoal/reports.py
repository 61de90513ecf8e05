"""What a store tells of itself: dataclasses that stand for those of the C++ library."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSize:
    """A value's size, as get and records give it."""

    bytes: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A thread that is attached to a store, or the views of a process, or what it spills with, at one moment."""

    slot: int  # of the process table
    process_id: int  # as it was when it attached, in its own pid namespace
    thread_id: int  # 0 for views, -1 for what spills
    is_views: bool  # the views of that process, of whatever thread
    is_spiller: bool  # the one by which that process spills
    same_namespace: bool  # whether the ids mean the same here
    command: str  # of that thread, where /proc shows it
    alive: bool  # by its lock, not by its ids; the dead are recovered by whoever meets them
    stopped: bool  # by a signal or a debugger, where /proc shows it
    inside: bool  # in an operation, or has views
    doing: str  # idle, reading, appending, erasing, dropping, reclaiming, recovering or spilling; views
    epochs_behind: int  # not 0: it is inside since before this epoch, and holds back reuse of memory
    behind_ms: int  # for that long at least it holds back memory, being behind, or being about to free it


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A store at one moment."""

    path: str  # the store's directory; empty for a store in memory
    arena_path: str
    arena_note: str  # why the arena lies there, when that is not a tmpfs
    store_id: str
    memory_limit_bytes: int
    real_bytes: int  # allocated from the file system so far
    used_bytes: int  # handed out of those: keys, segments, index, tables
    keys: int
    records: int  # committed; and perhaps some that others began to append during the call
    payload_bytes: int  # of those records
    segments: int
    index_bytes: int
    spilled_bytes: int  # of payload_bytes, those that are in files
    spilled_segments: int
    spill_dir: str  # empty in a store that does not spill
    codec: str  # of the store
    spill_files: int
    stored_bytes: int  # that spilled data take up in those files, compressed and with headers
    disk_bytes: int  # that the file system has given for them
    io_engine: str  # "io_uring", or "threads" and why
    synced_unix_s: int  # when it was synced last, in seconds since 1970; 0: never
    spill_errno: int  # of the last try to spill, by any process; 0 when it went well
    retired_objects: int  # deleted, waiting until no reader can hold them
    slots_in_use: int  # attached threads
    slots_total: int
    epoch: int
    held_back_by: tuple[Attached, ...]  # who keeps retired objects from reuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a sync has made durable."""

    keys: int
    records: int
    payload_bytes: int
    copied_bytes: int  # of them, those that no file had yet
    written_bytes: int  # to files for it


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What a backup holds."""

    keys: int
    records: int
    payload_bytes: int
    file_bytes: int  # of the backup
    resumed_bytes: int  # of those, written by the backup that was interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored of a backup."""

    keys: int
    records: int
    payload_bytes: int
    begun_unix_s: int  # when the backup was begun: what was acknowledged before is in it
    synced: bool  # the store has a spill folder, and outlives a reboot as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """An arena that no store has any more, or that may be one, as `Store.collect` finds it."""

    arena_path: str
    store_path: str  # the store that it was made for; empty where it was not whole yet
    why: str  # it is taken for garbage; or why it is left all the same
    removed: bool  # or would be, in a dry run
    needs_force: bool  # left, and `force` would take it; or taken, by that
    bytes: int  # that it takes in its file system
    system_errno: int  # of a removal that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A broken invariant."""

    invariant: str  # by the name that it has in the library's source
    offset: int  # in the arena; of an "extent": in its file, which `what` names
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `Store.verify` found and counted; blocks but for the reachable ones only at rest."""

    path: str
    arena_path: str
    at_rest: bool  # nobody was attached from beginning to end, and every invariant was checked
    not_checked: tuple[str, ...]  # what was left out otherwise
    damage_count: int
    damage: tuple[Damage, ...]  # the first ones of each invariant
    keys: int
    erased_keys: int  # deleted, and still in the index
    records: int
    payload_bytes: int
    unfinished_frames: int  # in flight, or left so by a writer that died
    segments: int
    spilled_segments: int
    spilled_bytes: int
    extents_read: int  # in files: of the keys, and of the checkpoint
    stored_payload_read: int  # bytes of payload in them
    synced_unix_s: int  # when the checkpoint was made; 0: there is none
    synced_keys: int  # in it
    index_leaves: int
    index_nodes: int
    slots_attached: int
    slots_dead: int  # of owners that died, waiting for their recovery
    blocks_reachable: int
    blocks_retired: int
    blocks_of_dead: int
    blocks_free: int
    blocks_free_in_sources: int
    blocks_leaked: int
    leaked_bytes: int
    pages_with_leaks: int
    pages: int  # of 64 KiB
    pages_free: int
    not_repaired: str  # why not, when a repair was asked for
    repaired_blocks: int
    repaired_bytes: int

    @property
    def sound(self) -> bool:
        """Whether no invariant is broken."""
        return self.damage_count == 0
