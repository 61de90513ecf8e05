"""The figures that issue 2 asks for: where each is measured, what it is held against, and when it is met."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Source:
    """One number of one benchmark: a field of Google Benchmark's JSON, times `scale`."""

    program: str
    benchmark: str  # name up to its "/iterations:..." and the like
    field: str
    scale: float = 1.0


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`, beside `limit` from the same run.

    `bound` is for the ratio value/limit where there is a limit and `of_ratio`, else for the value; "at least" it,
    or "at most" where `less_is_better`. No bound: shown for information.
    """

    name: str
    unit: str
    value: Source
    limit: Optional[Source] = None
    limit_name: str = ""
    bound: Optional[float] = None
    of_ratio: bool = False
    less_is_better: bool = False


def rate(name):
    return Source("append", f"append/{name}", "items_per_second", 1e-6)


def copied(arguments, field="bytes_per_second", scale=1e-9):
    return Source("machine_limits", f"memcpy_in/{arguments}", field, scale)


def got(name):
    return Source("get", f"get_value/{name}", "bytes_per_second", 1e-9)


def small(keys, at_once):
    return Source("get", f"get_small/keys:{keys}/at_once:{at_once}", "items_per_second", 1e-6)


def grown(field, scale=1.0):
    return Source("append", "growth", field, scale)


def attached(name):
    return Source("append", f"attach_8GiB/{name}", "real_time")  # in us


KIB_COPY = copied("bytes:1024/stride:1032/streams:100/processes:1")
SMALL_COPY = copied("bytes:64/stride:72/streams:10000/processes:2", "items_per_second", 1e-6)
FIRST_TOUCH = Source("machine_limits", "cold_write/first_touch", "bytes_per_second", 1e-9)
BOOST_EACH = Source("append_boost", "boost_map/64B_10000keys_each_2", "items_per_second", 1e-6)
BOOST_BATCH = Source("append_boost", "boost_map/64B_10000keys_batch_2", "items_per_second", 1e-6)
GAP = Source("machine_limits", "hiccups", "max_ns", 1e-3)

FIGURES = [
    Figure("append 1 KiB, 100 keys, batched, 1 process", "GB/s",
           Source("append", "append/1K_100keys_batch_1", "bytes_per_second", 1e-9),
           KIB_COPY, "memcpy", 0.8, of_ratio=True),
    Figure("append 1 KiB, 100 keys, batched, 2 processes", "GB/s",
           Source("append", "append/1K_100keys_batch_2", "bytes_per_second", 1e-9),
           copied("bytes:1024/stride:1032/streams:100/processes:2"), "memcpy"),
    Figure("append 64 B, 10,000 keys, batched, 2 processes", "M/s",
           rate("64B_10000keys_batch_2"), SMALL_COPY, "memcpy", 15),
    Figure("  against Boost.Interprocess, a lock a record", "M/s",
           rate("64B_10000keys_batch_2"), BOOST_EACH, "Boost", 20, of_ratio=True),
    Figure("  against Boost.Interprocess, a lock for 1,024", "M/s",
           rate("64B_10000keys_batch_2"), BOOST_BATCH, "Boost"),
    Figure("  by handle", "M/s", rate("64B_10000keys_handles_2"), SMALL_COPY, "memcpy"),
    Figure("  1 process", "M/s", rate("64B_10000keys_batch_1")),
    Figure("  one at a time, 1 process", "M/s", rate("64B_10000keys_single_1")),
    Figure("  one at a time, 2 processes", "M/s", rate("64B_10000keys_single_2")),
    Figure("append 64 B, 100 keys, one at a time, by key", "M/s", rate("64B_100keys_single_1"), bound=8),
    Figure("  by handle", "M/s", rate("64B_100keys_single_handle_1"), bound=8),
    Figure("  latency, median", "ns", Source("append", "append/64B_100keys_latency_1", "p50_ns")),
    Figure("  latency, 99 %", "ns", Source("append", "append/64B_100keys_latency_1", "p99_ns")),
    Figure("  latency, 99.9 %", "ns", Source("append", "append/64B_100keys_latency_1", "p99.9_ns")),
    Figure("  latency, longest", "us", Source("append", "append/64B_100keys_latency_1", "max_ns", 1e-3),
           GAP, "idle loop"),
    Figure("one hot key, batched, 2 processes against 1", "M/s", rate("64B_hot_batch_2"),
           rate("64B_hot_batch_1"), "1 process", 1.0, of_ratio=True),
    Figure("one hot key, one at a time, 2 processes against 1", "M/s", rate("64B_hot_single_2"),
           rate("64B_hot_single_1"), "1 process", 0.5, of_ratio=True),
    Figure("get 1 MiB, one record", "GB/s", got("1M_one_record_get"), got("1M_memcpy"), "memcpy", 0.8, True),
    Figure("  get_into", "GB/s", got("1M_one_record_get_into"), got("1M_memcpy"), "memcpy", 0.8, True),
    Figure("get 1 MiB, 1 KiB records", "GB/s", got("1M_1K_records_get"), got("1M_memcpy"), "memcpy", 0.8, True),
    Figure("  get_into", "GB/s", got("1M_1K_records_get_into"), got("1M_memcpy"), "memcpy", 0.8, True),
    Figure("get 10,000 records of 64 B", "GB/s", got("10000_64B_get"), got("10000_64B_memcpy"), "memcpy", 1),
    Figure("  get_into", "GB/s", got("10000_64B_get_into"), got("10000_64B_memcpy"), "memcpy", 1),
    Figure("view of 1 MiB, one record", "us", Source("get", "get_value/1M_one_record_view", "real_time"),
           Source("get", "get_value/1M_memcpy", "real_time"), "memcpy"),
    Figure("view of 10,000 records of 64 B", "us", Source("get", "get_value/10000_64B_view", "real_time"),
           Source("get", "get_value/10000_64B_memcpy", "real_time"), "memcpy"),
    Figure("get 64 B, 10,000 keys at random", "M/s", small(10000, 1)),
    Figure("  64 keys a call", "M/s", small(10000, 64), small(10000, 1), "one"),
    Figure("get 64 B, 1,000,000 keys at random", "M/s", small(1000000, 1)),
    Figure("  64 keys a call", "M/s", small(1000000, 64), small(1000000, 1), "one"),
    Figure("cold append, memory made real by another process", "GB/s",
           Source("append", "append_cold/reserved_by_another", "bytes_per_second", 1e-9),
           FIRST_TOUCH, "first touch", 3.0, of_ratio=True),
    Figure("cold append, nothing reserved", "GB/s",
           Source("append", "append_cold/nothing_reserved", "bytes_per_second", 1e-9), FIRST_TOUCH, "first touch"),
    Figure("attach to 8 GiB, empty", "us", attached("empty"), bound=2000, less_is_better=True),
    Figure("  2 GiB of data", "us", attached("data_2GiB"), bound=2000, less_is_better=True),
    Figure("  2 GiB reserved", "us", attached("reserved_2GiB"), bound=2000, less_is_better=True),
    Figure("  the first append and get then", "us",
           Source("append", "attach_8GiB/data_2GiB", "first_use_us")),
    Figure("10 million keys of 16 B: allocated", "GiB", grown("GiB_real"), bound=2.5, less_is_better=True),
    Figure("  used a key", "B", grown("used_bytes_a_key")),
    Figure("  of that index", "B", grown("index_bytes_a_key")),
    Figure("append at 10 M keys against 1 M, batched", "ns", grown("append_10M_ns"), grown("append_1M_ns"),
           "at 1 M", 1.5, of_ratio=True, less_is_better=True),
    Figure("insert at 10 M keys against 1 M, batched", "ns", grown("insert_10M_ns"), grown("insert_1M_ns"),
           "at 1 M", 1.5, of_ratio=True, less_is_better=True),
    Figure("one insert, 1 M to 10 M keys: median", "ns", grown("insert_p50_ns")),
    Figure("  99 %", "ns", grown("insert_p99_ns")),
    Figure("  99.9 %", "us", grown("insert_p99.9_ns", 1e-3)),
    Figure("  99.99 %", "us", grown("insert_p99.99_ns", 1e-3)),
    Figure("  longest", "us", grown("insert_max_ns", 1e-3), GAP, "idle loop"),
    Figure("a cache line from process to process", "ns", Source("machine_limits", "ping_pong", "real_time")),
    Figure("fetch_add on one line, 2 processes", "M/s",
           Source("machine_limits", "fetch_add/processes:2", "items_per_second", 1e-6),
           Source("machine_limits", "fetch_add/processes:1", "items_per_second", 1e-6), "1 process"),
]
