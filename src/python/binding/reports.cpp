#include <string>
#include <type_traits>
#include <vector>

#include "python/binding/reports.hpp"

namespace shoal::python {

namespace nb = nanobind;

namespace {

nb::object as_python(const std::string& text) {  // paths and names of programs need not be UTF-8
    nb::object decoded =
        nb::steal(PyUnicode_DecodeFSDefaultAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
    if (!decoded.is_valid()) throw nb::python_error();
    return decoded;
}
nb::object as_python(bool value) { return nb::bool_(value); }
template <class Integer>
requires std::is_integral_v<Integer> nb::object as_python(Integer value) { return nb::int_(value); }
nb::object as_python(const Attached& attached) { return report(attached); }
nb::object as_python(const Damage& damage);
template <class T>
nb::object as_python(const std::vector<T>& many) {
    nb::list list;
    for (const T& one : many) list.append(as_python(one));
    return nb::tuple(list);
}
// Keyword arguments, one by one.
class Fields {
public:
    template <class T>
    Fields& operator()(const char* name, const T& value) {
        fields_[name] = as_python(value);
        return *this;
    }
    [[nodiscard]] nb::object made(const char* dataclass) const {
        return nb::module_::import_("shoal.reports").attr(dataclass)(**fields_);
    }

private:
    nb::dict fields_;
};

nb::object as_python(const Damage& damage) {
    Fields fields;
    fields("invariant", damage.invariant)("offset", damage.offset)("what", damage.what);
    return fields.made("Damage");
}

}  // namespace

nb::object report(const Stats& stats) {
    Fields fields;
    fields("path", stats.path)("arena_path", stats.arena_path)("arena_note", stats.arena_note)(
        "store_id", stats.store_id)("memory_limit_bytes", stats.memory_limit_bytes)("real_bytes", stats.real_bytes)(
        "used_bytes", stats.used_bytes)("keys", stats.keys)("records", stats.records)(
        "payload_bytes", stats.payload_bytes)("segments", stats.segments)("index_bytes", stats.index_bytes)(
        "spilled_bytes", stats.spilled_bytes)("spilled_segments", stats.spilled_segments)(
        "spill_dir", stats.spill_dir)("codec", stats.codec)("spill_files", stats.spill_files)(
        "stored_bytes", stats.stored_bytes)("disk_bytes", stats.disk_bytes)("io_engine", stats.io_engine)(
        "synced_unix_s", stats.synced_unix_s)("spill_errno", stats.spill_errno)(
        "retired_objects", stats.retired_objects)("slots_in_use", stats.slots_in_use)(
        "slots_total", stats.slots_total)("epoch", stats.epoch)("held_back_by", stats.held_back_by);
    return fields.made("Stats");
}

nb::object report(const ValueSize& size) {
    Fields fields;
    fields("bytes", size.bytes)("records", size.records);
    return fields.made("ValueSize");
}

nb::object report(const Synced& synced) {
    Fields fields;
    fields("keys", synced.keys)("records", synced.records)("payload_bytes", synced.payload_bytes)(
        "copied_bytes", synced.copied_bytes)("written_bytes", synced.written_bytes);
    return fields.made("Synced");
}

nb::object report(const BackedUp& backed_up) {
    Fields fields;
    fields("keys", backed_up.keys)("records", backed_up.records)("payload_bytes", backed_up.payload_bytes)(
        "file_bytes", backed_up.file_bytes)("resumed_bytes", backed_up.resumed_bytes);
    return fields.made("BackedUp");
}

nb::object report(const Restored& restored) {
    Fields fields;
    fields("keys", restored.keys)("records", restored.records)("payload_bytes", restored.payload_bytes)(
        "begun_unix_s", restored.begun_unix_s)("synced", restored.synced);
    return fields.made("Restored");
}

nb::object report(const Attached& attached) {
    Fields fields;
    fields("slot", attached.slot)("process_id", attached.process_id)("thread_id", attached.thread_id)(
        "is_views", attached.is_views)("is_spiller", attached.is_spiller)(
        "same_namespace", attached.same_namespace)("command", attached.command)("alive", attached.alive)(
        "stopped", attached.stopped)("inside", attached.inside)("doing", attached.doing)(
        "epochs_behind", attached.epochs_behind)("behind_ms", attached.behind_ms);
    return fields.made("Attached");
}

nb::object report(const Leftover& leftover) {
    Fields fields;
    fields("arena_path", leftover.arena_path)("store_path", leftover.store_path)("why", leftover.why)(
        "removed", leftover.removed)("needs_force", leftover.needs_force)("bytes", leftover.bytes)(
        "system_errno", leftover.system_errno);
    return fields.made("Leftover");
}

nb::object report(const VerifyReport& verified) {
    Fields fields;
    fields("path", verified.path)("arena_path", verified.arena_path)("at_rest", verified.at_rest)(
        "not_checked", verified.not_checked)("damage_count", verified.damage_count)("damage", verified.damage)(
        "keys", verified.keys)("erased_keys", verified.erased_keys)("records", verified.records)(
        "payload_bytes", verified.payload_bytes)("unfinished_frames", verified.unfinished_frames)(
        "segments", verified.segments)("spilled_segments", verified.spilled_segments)(
        "spilled_bytes", verified.spilled_bytes)("extents_read", verified.extents_read)(
        "stored_payload_read", verified.stored_payload_read)("synced_unix_s", verified.synced_unix_s)(
        "synced_keys", verified.synced_keys)("index_leaves", verified.index_leaves)(
        "index_nodes", verified.index_nodes)("slots_attached", verified.slots_attached)(
        "slots_dead", verified.slots_dead)("blocks_reachable", verified.blocks_reachable)(
        "blocks_retired", verified.blocks_retired)("blocks_of_dead", verified.blocks_of_dead)(
        "blocks_free", verified.blocks_free)("blocks_free_in_sources", verified.blocks_free_in_sources)(
        "blocks_leaked", verified.blocks_leaked)("leaked_bytes", verified.leaked_bytes)(
        "pages_with_leaks", verified.pages_with_leaks)("pages", verified.pages)("pages_free", verified.pages_free)(
        "not_repaired", verified.not_repaired)("repaired_blocks", verified.repaired_blocks)(
        "repaired_bytes", verified.repaired_bytes);
    return fields.made("VerifyReport");
}

}  // namespace shoal::python
