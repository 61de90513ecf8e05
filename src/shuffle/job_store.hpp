// The store of one job: in memory; or a temporary one in the spill folder; or at a path and then destroyed with the
// job unless it is to be kept.
//
// A crash of the parent frees one in memory; `shoal gc` removes what a temporary one has left; one at a path stays
// and `shoal destroy` removes it.
#pragma once

#include <optional>
#include <string>

#include <shoal/store.hpp>

#include "shuffle/failure.hpp"

namespace shoal::shuffling {

class JobStore {
public:
    [[nodiscard]] static Outcome<JobStore> make(const ShuffleOptions& options, std::uint64_t memory_limit_bytes);
    JobStore(JobStore&& other) noexcept;
    JobStore& operator=(JobStore&&) = delete;
    ~JobStore();

    // Has no thread in the parent, which forks: AddressSanitizer's allocator, for one, does not outlive that.
    [[nodiscard]] Store& store() noexcept { return store_; }

    // In a worker that appends, first of all: from here on store() is one that it has attached by itself, and a
    // thread of this process spills.
    [[nodiscard]] Outcome<void> attach_in_worker();

private:
    [[nodiscard]] static Outcome<JobStore> make_spilling(const ShuffleOptions& options, Options store_options);
    JobStore(Store store, std::string path, const Options& options) noexcept
        : store_(std::move(store)), path_(std::move(path)), options_(options) {}

    Store store_;
    std::string path_;  // empty: in memory
    Options options_;
    bool destroy_ = false;
};

}  // namespace shoal::shuffling
