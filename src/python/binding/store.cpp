// shoal.Store: each of its methods is one of shoal::Store, with docstrings for Python.
#include <algorithm>
#include <filesystem>
#include <new>
#include <utility>

#include <nanobind/stl/string.h>

#include "python/binding/arguments.hpp"
#include "python/binding/backup.hpp"
#include "python/binding/batch.hpp"
#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"
#include "python/binding/key_iterator.hpp"
#include "python/binding/open_store.hpp"
#include "python/binding/reading.hpp"
#include "python/binding/reports.hpp"
#include "python/binding/store_docs.hpp"
#include "python/binding/view.hpp"

namespace shoal::python {
namespace {

std::string text_or_empty(nb::handle path) { return path.is_none() ? std::string() : path_text(path); }

std::string absolute(nb::handle path) {
    std::error_code failure;
    const std::filesystem::path made = std::filesystem::absolute(path_text(path), failure);
    if (failure) raise({Code::kSystem, "no current folder: " + failure.message(), failure.value()});
    return made.string();
}

// What an operation of this process's is to know, whoever made the store.
Options access_options(nb::handle group, bool any_owner, bool spill_thread, std::uint32_t room_wait_ms,
                       bool page_cache) {
    Options options;
    options.group = text_or_empty(group);
    options.any_owner = any_owner;
    options.spill_thread = spill_thread;
    options.room_wait_ms = room_wait_ms;
    options.page_cache = page_cache;
    options.wait_hooks = without_lock_in_waits();
    return options;
}

template <class Make>
auto made_or_raise(Make&& make) {
    decltype(make()) result = [&] {
        const Released released;
        return make();
    }();
    return value_or_raise(std::move(result), Missing::kStore);
}

void open(OpenStore* self, nb::handle path, std::uint64_t memory_limit_bytes, nb::handle arena_dir,
          nb::handle group, bool any_owner, bool temporary, nb::handle spill_dir, const std::string& codec,
          bool spill_thread, std::uint32_t room_wait_ms, bool page_cache, bool durable, bool read_only,
          std::uint32_t first_segment_bytes, std::uint32_t max_segment_bytes, std::uint64_t reserve_bytes) {
    Options options = access_options(group, any_owner, spill_thread, room_wait_ms, page_cache);
    options.durable = durable;
    options.read_only = read_only;
    options.memory_limit_bytes = memory_limit_bytes;
    options.arena_dir = text_or_empty(arena_dir);
    options.temporary = temporary;
    options.spill_dir = text_or_empty(spill_dir);
    options.codec = value_or_raise(parse_codec(codec));
    options.first_segment_bytes = first_segment_bytes;
    options.max_segment_bytes = max_segment_bytes;
    options.reserve_bytes = reserve_bytes;
    std::string where = absolute(path);
    Store store = made_or_raise([&] { return Store::open(where, options); });
    new (self) OpenStore(std::move(store), std::move(where), options);
}

OpenStore* attach(nb::handle path, nb::handle group, bool any_owner, bool spill_thread, std::uint32_t room_wait_ms,
                  bool page_cache, bool durable, bool read_only) {
    Options options = access_options(group, any_owner, spill_thread, room_wait_ms, page_cache);
    options.durable = durable;
    options.read_only = read_only;
    std::string where = absolute(path);
    Store store = made_or_raise([&] { return Store::attach(where, options); });
    return new OpenStore(std::move(store), std::move(where), options);
}

OpenStore* in_memory(std::uint64_t memory_limit_bytes, std::uint32_t first_segment_bytes,
                     std::uint32_t max_segment_bytes, std::uint64_t reserve_bytes) {
    Options options;
    options.memory_limit_bytes = memory_limit_bytes;
    options.first_segment_bytes = first_segment_bytes;
    options.max_segment_bytes = max_segment_bytes;
    options.reserve_bytes = reserve_bytes;
    options.wait_hooks = without_lock_in_waits();
    return new OpenStore(made_or_raise([&] { return Store::in_memory(options); }), "", options);
}

void destroy(nb::handle path, bool force, nb::handle group, bool any_owner) {
    Options options = access_options(group, any_owner, false, 0, false);
    options.force = force;
    const std::string where = path_text(path);
    made_or_raise([&] { return Store::destroy(where, options); });
}

nb::list collect(nb::handle dirs, bool only_dirs, bool dry_run, std::uint64_t min_age_s, bool force,
                 bool only_temporary) {
    CollectOptions options;
    options.only_dirs = only_dirs;
    options.dry_run = dry_run;
    options.min_age_s = min_age_s;
    options.force = force;
    options.only_temporary = only_temporary;
    for (nb::handle dir : dirs) options.dirs.push_back(path_text(dir));
    return report(made_or_raise([&] { return Store::collect(options); }));
}

nb::object verify(nb::handle path, bool repair, nb::handle group, bool any_owner) {
    VerifyOptions options;
    options.repair = repair;
    options.access = access_options(group, any_owner, false, 0, false);
    const std::string where = path_text(path);
    return report(made_or_raise([&] { return Store::verify(where, options); }));
}

nb::object restore_store(nb::handle source, nb::handle path, std::uint64_t memory_limit_bytes, nb::handle arena_dir,
                         nb::handle group, nb::handle spill_dir, const std::string& codec, bool durable,
                         nb::handle progress) {
    Options options = access_options(group, false, true, Options{}.room_wait_ms, false);
    options.durable = durable;
    options.memory_limit_bytes = memory_limit_bytes;
    options.arena_dir = text_or_empty(arena_dir);
    options.spill_dir = text_or_empty(spill_dir);
    options.codec = value_or_raise(parse_codec(codec));
    return report(restore(source, path_text(path), options, progress));
}

void append(const OpenStore& self, nb::handle key, nb::handle value) {
    const std::shared_ptr<Store> store = self.store();
    if (!value.is_none()) {
        const ByteView name = key_bytes(key);
        const Value record(value);
        Result<void> done;
        {
            const Released released(record.bytes().size());
            done = store->append(name, record.bytes());
        }
        return value_or_raise(std::move(done));
    }
    if (!is_mapping(key)) throw nb::type_error("append takes a key and a value, or a mapping of keys to values");
    Batch batch;
    batch.add_mapping(key);
    batch.append_to(*store);
}

void extend(const OpenStore& self, nb::handle key, nb::handle records) {
    const std::shared_ptr<Store> store = self.store();
    Batch batch;
    if (!records.is_none()) {
        batch.add_records(key, records);
    } else if (is_mapping(key)) {
        batch.add_records_of_mapping(key);
    } else {
        batch.add_pairs(key);
    }
    batch.append_to(*store);
}

bool iset(const OpenStore& self, nb::handle key, nb::handle value) {
    const std::shared_ptr<Store> store = self.store();
    const ByteView name = key_bytes(key);
    const Value record(value);
    Result<bool> first;
    {
        const Released released(record.bytes().size());
        first = store->iset(name, record.bytes());
    }
    return value_or_raise(std::move(first));
}

nb::object get(const OpenStore& self, nb::handle key, nb::handle missing, nb::handle progress) {
    const std::shared_ptr<Store> store = self.store();
    if (PyList_Check(key.ptr())) return values_of(*store, nb::borrow<nb::list>(key), missing, progress);
    const ByteView name = key_bytes(key);
    nb::object value = progress.is_none() ? value_of(*store, name) : value_by_parts(*store, name, progress);
    return value.is_valid() ? value : nb::borrow(missing);
}

nb::object item(const OpenStore& self, nb::handle key) {
    const std::shared_ptr<Store> store = self.store();
    nb::object value = value_of(*store, key_bytes(key));
    if (!value.is_valid()) raise({Code::kNotFound, "no such key: " + std::string(nb::repr(key).c_str())});
    return value;
}

std::size_t get_into(const OpenStore& self, nb::handle key, nb::handle buffer) {
    const std::shared_ptr<Store> store = self.store();
    const ByteView name = key_bytes(key);
    const Destination destination(buffer);
    Result<std::size_t> bytes;
    {
        const Released released(destination.span().size());
        bytes = store->get_into(name, destination.span());
    }
    return value_or_raise(std::move(bytes));
}

template <class Look>
PieceRange pieces(const OpenStore& self, nb::handle key, Look&& look) {
    const std::shared_ptr<Store> store = self.store();
    return PieceRange(value_or_raise(look(*store, key_bytes(key))));
}

bool contains(const OpenStore& self, nb::handle key) {
    return value_or_raise(self.store()->contains(key_bytes(key)));
}

bool erase(const OpenStore& self, nb::handle key) { return value_or_raise(self.store()->erase(key_bytes(key))); }

void erase_item(const OpenStore& self, nb::handle key) {
    if (!erase(self, key)) raise({Code::kNotFound, "no such key: " + std::string(nb::repr(key).c_str())});
}

KeyIterator iter_keys(nb::handle self, nb::handle prefix) {
    static_cast<void>(nb::cast<const OpenStore&>(self).store());
    return {self, key_bytes(prefix)};
}

// Of what takes as long as there are keys, or longer.
template <class Call>
auto without_lock(const OpenStore& self, Call&& call) {
    const std::shared_ptr<Store> store = self.store();
    return made_or_raise([&] { return call(*store); });
}

constexpr std::size_t kPartBytes = 16 << 20;

// In steps where progress is shown, so that there is some to be shown.
constexpr std::uint64_t kSpillStepBytes = 64 << 20;

std::uint64_t spill(const OpenStore& self, nb::handle bytes, nb::handle progress) {
    std::uint64_t wanted = bytes.is_none() ? ~0ULL : nb::cast<std::uint64_t>(bytes);
    const auto spill_some = [&](std::uint64_t some) {
        return without_lock(self, [&](Store& store) { return store.spill(some); });
    };
    if (progress.is_none()) return spill_some(wanted);
    // As much as there is now, so that the steps end beside writers that never do.
    const Stats before = without_lock(self, [](Store& store) { return store.stats(); });
    wanted = std::min(wanted, before.used_bytes);
    for (std::uint64_t freed = 0;;) {
        const std::uint64_t step = std::min(wanted - freed, kSpillStepBytes);
        const std::uint64_t some = spill_some(step);
        if (some != 0) progress(some);
        freed += some;
        if (some < step || freed >= wanted) return freed;
    }
}

nb::object reduce(const OpenStore& self) {
    if (self.path().empty()) {
        throw nb::type_error(
            "a store in memory cannot be pickled, since no other process can open it: make a store "
            "at a path, with temporary=True where it is not to stay");
    }
    static_cast<void>(self.store());
    const Options& options = self.options();
    nb::dict keywords;
    if (!options.group.empty()) keywords["group"] = options.group;
    keywords["any_owner"] = options.any_owner;
    keywords["spill_thread"] = options.spill_thread;
    keywords["room_wait_ms"] = options.room_wait_ms;
    keywords["page_cache"] = options.page_cache;
    keywords["read_only"] = options.read_only;
    return nb::make_tuple(nb::module_::import_("shoal._reattach").attr("reattach"),
                          nb::make_tuple(nb::steal(PyUnicode_DecodeFSDefault(self.path().c_str())), keywords));
}

nb::object shown(const OpenStore& self) {
    const char* form = self.closed() ? "<shoal.Store {!r}, closed>" : "<shoal.Store {!r}>";
    if (self.path().empty()) form = self.closed() ? "<shoal.Store in memory, closed>" : "<shoal.Store in memory>";
    return nb::str(form).attr("format")(nb::steal(PyUnicode_DecodeFSDefault(self.path().c_str())));
}

}  // namespace

void bind_store(nb::module_& module) {
    using namespace nb::literals;
    const Options unless_said;
    nb::class_<OpenStore>(module, "Store", nb::is_weak_referenceable(), docs::kStore)
        .def("__init__", open, "path"_a, nb::kw_only(), "memory_limit_bytes"_a = 0, "arena_dir"_a = nb::none(),
             "group"_a = nb::none(), "any_owner"_a = false, "temporary"_a = false, "spill_dir"_a = nb::none(),
             "codec"_a = "none", "spill_thread"_a = true, "room_wait_ms"_a = unless_said.room_wait_ms,
             "page_cache"_a = false, "durable"_a = false, "read_only"_a = false,
             "first_segment_bytes"_a = unless_said.first_segment_bytes,
             "max_segment_bytes"_a = unless_said.max_segment_bytes, "reserve_bytes"_a = 0)
        .def_static("attach", attach, "path"_a, nb::kw_only(), "group"_a = nb::none(), "any_owner"_a = false,
                    "spill_thread"_a = true, "room_wait_ms"_a = unless_said.room_wait_ms, "page_cache"_a = false,
                    "durable"_a = false, "read_only"_a = false, docs::kAttach)
        .def_static("in_memory", in_memory, nb::kw_only(), "memory_limit_bytes"_a = 0,
                    "first_segment_bytes"_a = unless_said.first_segment_bytes,
                    "max_segment_bytes"_a = unless_said.max_segment_bytes, "reserve_bytes"_a = 0, docs::kInMemory)
        .def_static("destroy", destroy, "path"_a, nb::kw_only(), "force"_a = false, "group"_a = nb::none(),
                    "any_owner"_a = false, docs::kDestroy)
        .def_static("collect", collect, "dirs"_a = nb::make_tuple(), nb::kw_only(), "only_dirs"_a = false,
                    "dry_run"_a = false, "min_age_s"_a = CollectOptions{}.min_age_s, "force"_a = false,
                    "only_temporary"_a = false, docs::kCollect)
        .def_static("verify", verify, "path"_a, nb::kw_only(), "repair"_a = false, "group"_a = nb::none(),
                    "any_owner"_a = false, docs::kVerify)
        .def_static("restore", restore_store, "source"_a, "path"_a, nb::kw_only(), "memory_limit_bytes"_a = 0,
                    "arena_dir"_a = nb::none(), "group"_a = nb::none(), "spill_dir"_a = nb::none(),
                    "codec"_a = "none", "durable"_a = false, "progress"_a = nb::none(), docs::kRestore)
        .def("append", append, "key"_a, "value"_a = nb::none(), docs::kAppend)
        .def("extend", extend, "key"_a, "records"_a = nb::none(), docs::kExtend)
        .def("iset", iset, "key"_a, "value"_a, docs::kIset)
        .def("get", get, "key"_a, "default"_a = nb::none(), "progress"_a = nb::none(), docs::kGet)
        .def("__getitem__", item, "key"_a, docs::kItem)
        .def("get_into", get_into, "key"_a, "buffer"_a, docs::kGetInto)
        .def(
            "records",
            [](const OpenStore& self, nb::handle key) { return records_of(*self.store(), key_bytes(key)); },
            "key"_a, docs::kRecords)
        .def(
            "each_part",
            [](const OpenStore& self, nb::handle key, nb::handle take, std::size_t part_bytes) {
                each_part(*self.store(), key_bytes(key), take, part_bytes);
            },
            "key"_a, "take"_a, "part_bytes"_a = kPartBytes, docs::kEachPart)
        .def(
            "view",
            [](const OpenStore& self, nb::handle key) {
                return pieces(self, key, [](Store& store, ByteView name) { return store.view(name); });
            },
            "key"_a, docs::kView)
        .def(
            "view_records",
            [](const OpenStore& self, nb::handle key) {
                return pieces(self, key, [](Store& store, ByteView name) { return store.records(name); });
            },
            "key"_a, docs::kViewRecords)
        .def(
            "size",
            [](const OpenStore& self, nb::handle key) {
                return report(value_or_raise(self.store()->size(key_bytes(key))));
            },
            "key"_a, docs::kSize)
        .def("__contains__", contains, "key"_a)
        .def(
            "keys", [](const OpenStore& self) { return keys_of(*self.store()); }, docs::kKeys)
        .def("iter_keys", iter_keys, "prefix"_a = nb::bytes("", 0), docs::kIterKeys)
        .def("__iter__", [](nb::handle self) { return iter_keys(self, nb::bytes("", 0)); })
        .def("__len__",
             [](const OpenStore& self) {
                 return without_lock(self, [](Store& store) { return store.stats(); }).keys;
             })
        .def("delete", erase, "key"_a, docs::kDelete)
        .def("__delitem__", erase_item, "key"_a)
        .def(
            "drop", [](const OpenStore& self) { without_lock(self, [](Store& store) { return store.drop(); }); },
            docs::kDrop)
        .def("spill", spill, "bytes"_a = nb::none(), "progress"_a = nb::none(), docs::kSpill)
        .def(
            "sync",
            [](const OpenStore& self) {
                return report(without_lock(self, [](Store& store) { return store.sync(); }));
            },
            docs::kSync)
        .def(
            "backup",
            [](const OpenStore& self, nb::handle target, bool resume, nb::handle codec, nb::handle progress) {
                return report(backup(self, target, resume, codec, progress));
            },
            "target"_a, nb::kw_only(), "resume"_a = false, "codec"_a = nb::none(), "progress"_a = nb::none(),
            docs::kBackup)
        .def(
            "set_codec",
            [](const OpenStore& self, nb::handle key, const std::string& codec) {
                value_or_raise(self.store()->set_codec(key_bytes(key), value_or_raise(parse_codec(codec))));
            },
            "key"_a, "codec"_a, docs::kSetCodec)
        .def(
            "stats",
            [](const OpenStore& self) {
                return report(without_lock(self, [](Store& store) { return store.stats(); }));
            },
            docs::kStats)
        .def(
            "attached",
            [](const OpenStore& self) {
                return report(without_lock(self, [](Store& store) { return store.attached(); }));
            },
            docs::kAttached)
        .def("close", &OpenStore::close, docs::kClose)
        .def_prop_ro("closed", &OpenStore::closed, "Whether it was closed.")
        .def_prop_ro(
            "path", [](const OpenStore& self) { return nb::steal(PyUnicode_DecodeFSDefault(self.path().c_str())); },
            "The store's directory, absolute; empty for a store in memory.")
        .def("__enter__", [](nb::handle self) { return nb::borrow(self); })
        .def("__exit__", [](OpenStore& self, nb::args) { self.close(); })
        .def("__reduce__", reduce)
        .def("__repr__", shown);
}

}  // namespace shoal::python
