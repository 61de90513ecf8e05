#include "shuffle/job_store.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "shuffle/mapper.hpp"

namespace shoal::shuffling {

Outcome<JobStore> JobStore::make(const ShuffleOptions& options, std::uint64_t memory_limit_bytes) {
    Options store_options;
    store_options.memory_limit_bytes = memory_limit_bytes;
    store_options.spill_dir = options.spill_dir;
    store_options.codec = options.codec;
    store_options.page_cache = options.page_cache;
    store_options.spill_thread = false;
    if (options.store_path.empty() && !options.spill_dir.empty()) return make_spilling(options, store_options);
    if (options.store_path.empty()) {
        auto store = Store::in_memory(store_options);
        if (!store) return store_failure("cannot make a store in memory", store.error());
        return JobStore(std::move(*store), "", store_options);
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
    JobStore made(std::move(*store), options.store_path, store_options);
    made.destroy_ = !options.keep_store;
    return made;
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
    return JobStore(std::move(*store), path, store_options);
}

Outcome<void> JobStore::attach_in_worker() {
    if (path_.empty()) return {};
    Options options = options_;
    options.spill_thread = true;
    auto store = Store::attach(path_, options);
    if (!store) return store_failure("cannot attach to the store " + path_, store.error());
    store_ = std::move(*store);
    return {};
}

JobStore::JobStore(JobStore&& other) noexcept
    : store_(std::move(other.store_)),
      path_(std::move(other.path_)),
      options_(std::move(other.options_)),
      destroy_(std::exchange(other.destroy_, false)) {}

JobStore::~JobStore() {
    // By force, since this object still has it open. Nothing is lost when this fails: the store holds copies only,
    // and `shoal destroy` tells why.
    try {
        Options options;
        options.force = true;
        if (destroy_) static_cast<void>(Store::destroy(path_, options));
    } catch (const std::bad_alloc&) {
        // As above; a destruction that has begun is finished by the next one.
    }
}

}  // namespace shoal::shuffling
