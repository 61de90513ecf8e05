#include "shuffle/job_store.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "shuffle/mapper.hpp"

namespace shoal::shuffling {

Outcome<JobStore> JobStore::make(const ShuffleOptions& options, std::uint64_t memory_limit_bytes) {
    Options store_options;
    store_options.memory_limit_bytes = memory_limit_bytes;
    store_options.spill_dir = options.spill_dir;
    store_options.codec = options.codec;
    store_options.page_cache = options.page_cache;
    if (options.store_path.empty() && !options.spill_dir.empty()) return make_spilling(options, store_options);
    if (options.store_path.empty()) {
        auto store = Store::in_memory(store_options);
        if (!store) return store_failure("cannot make a store in memory", store.error());
        return JobStore(std::move(*store), "");
    }
    auto store = Store::open(options.store_path, store_options);
    if (!store) return store_failure("cannot open the store " + options.store_path, store.error());
    const auto stats = store->stats();
    if (!stats) return store_failure("cannot look into the store " + options.store_path, stats.error());
    if (stats->keys != 0) {  // somebody's data: not ours to destroy
        return failure(
            ShuffleCause::kStore,
            fmt::format("the store {} is not empty ({} keys); give another path, or empty it with `shoal "
                        "drop`",
                        options.store_path, stats->keys));
    }
    return JobStore(std::move(*store), options.keep_store ? "" : options.store_path);
}

Outcome<JobStore> JobStore::make_spilling(const ShuffleOptions& options, Options store_options) {
    std::string path = options.spill_dir + "/shoal-shuffle-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr)
        return system_failure("cannot make a folder in " + options.spill_dir, errno);
    store_options.temporary = true;
    auto store = Store::open(path, store_options);
    if (!store) {
        ::rmdir(path.c_str());
        return store_failure("cannot make a store in " + options.spill_dir, store.error());
    }
    return JobStore(std::move(*store), "");
}

JobStore::JobStore(JobStore&& other) noexcept
    : store_(std::move(other.store_)), destroy_path_(std::exchange(other.destroy_path_, {})) {}

JobStore::~JobStore() {
    // Nothing is lost when this fails: the store holds copies only, and `shoal destroy` tells why.
    if (!destroy_path_.empty()) static_cast<void>(Store::destroy(destroy_path_));
}

}  // namespace shoal::shuffling
