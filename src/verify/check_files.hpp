// Reads what a store has in files, and checks it: every extent that a segment names, and the checkpoint with every
// extent that it names.
//
// Thread safety: beside anything. While the checkpoint is read it has the turn to sync (spill/sync_turns.hpp), so
// that other syncs wait. Where it loses the turn, being stopped for long, it reads the checkpoint of that moment
// anew. A crash leaves a turn that the next sync takes.
#pragma once

#include <shoal/verify.hpp>

#include "store/impl.hpp"
#include "verify/extent_scan.hpp"

namespace shoal {

class FilesCheck {
public:
    FilesCheck(StoreImpl& store, const CheckCallback& progress, VerifyReport& report)
        : store_(&store),
          progress_(&progress),
          report_(&report),
          scan_(store.files_, store.mapping_.header().store_id) {}

    // Adds to the report what it finds. kDestroyed and what else every call may give; ECANCELED as CheckCallback.
    [[nodiscard]] Result<void> run();

private:
    [[nodiscard]] Result<void> check_keys();
    [[nodiscard]] Result<void> add_leaf(std::uint64_t* from);
    [[nodiscard]] Result<void> check_checkpoint();
    // With the turn of that number. False: it was lost, and what was found may be of what others have replaced.
    [[nodiscard]] bool read_checkpoint(std::uint64_t turn);
    // With the part of a pass over the keys, or over the checkpoint, that is done. False: it is to end.
    [[nodiscard]] bool goes_on(double of_pass);
    void add(const StoredPart& part, std::uint64_t hash);
    void read_again(StoredPart& part, bool named_by_segments);
    void report_damage(Damage damage);

    StoreImpl* store_;
    const CheckCallback* progress_;
    VerifyReport* report_;
    ExtentScan scan_;
    std::vector<std::byte> memory_;
    int passes_ = 1;
    int pass_ = 0;
    bool stopped_ = false;
};

}  // namespace shoal
