// Reads what a store has in files, and checks it: every extent that a segment names, and the checkpoint with every
// extent that it names.
//
// Thread safety: beside anything; while the checkpoint is read nobody else syncs. A crash leaves nothing.
#pragma once

#include <shoal/verify.hpp>

#include "store/impl.hpp"

namespace shoal {

class FilesCheck {
public:
    FilesCheck(StoreImpl& store, VerifyReport& report) : store_(&store), report_(&report) {}

    // Adds to the report what it finds. kDestroyed and what else every call may give.
    [[nodiscard]] Result<void> run();

private:
    [[nodiscard]] Result<void> check_key(const KeyRef& key);
    void check_checkpoint();
    void load(const KeyRef& key, std::vector<StoredPart>& parts, bool named_by_segments);
    void report_damage(std::uint64_t place, const Error& error);

    StoreImpl* store_;
    VerifyReport* report_;
    std::vector<std::byte> memory_;
};

}  // namespace shoal
