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

    [[nodiscard]] Store& store() noexcept { return store_; }

private:
    [[nodiscard]] static Outcome<JobStore> make_spilling(const ShuffleOptions& options, Options store_options);
    JobStore(Store store, std::string destroy_path) noexcept
        : store_(std::move(store)), destroy_path_(std::move(destroy_path)) {}

    Store store_;
    std::string destroy_path_;  // empty: nothing to destroy
};

}  // namespace shoal::shuffling
