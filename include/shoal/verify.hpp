// What Store::verify looks at, counts and finds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <shoal/options.hpp>

namespace shoal {

// How far a check is, or the restoring before it.
struct CheckProgress {
    enum class Step : std::uint8_t {
        kRestoring,  // what the checkpoint names comes back into memory
        kChecking,   // what is in files is read
    };
    Step step = Step::kChecking;
    double fraction = 0;      // of the step, 0 to 1; an estimate
    std::uint64_t bytes = 0;  // read in this step: of the checkpoint, or of payload
};

// Called about once for each MiB that is read, outside of every epoch, so that it may be slow. False ends the call
// with kSystem and ECANCELED; a store that was being restored is as it was before then. It must not throw.
using CheckCallback = std::function<bool(const CheckProgress& progress)>;

struct VerifyOptions {
    // Recovers what the dead have left and gives leaked memory back. Only where nobody else has the store open and
    // nothing is damaged, else VerifyReport::not_repaired says why not; who attaches meanwhile waits. Costs a
    // second check.
    bool repair = false;

    // Reads all that is in spill files and the checkpoint, and checks that too. Costs a read of all of it.
    bool files = true;

    CheckCallback progress{};  // of what is read from files; called from the caller's thread

    // Whose store is taken: `group` and `any_owner` alone are looked at, as by Store::attach.
    Options access{};
};

// A broken invariant: its name is that of a header in src/, "segment I4" for instance, where it is written down.
struct Damage {
    std::string invariant;
    std::uint64_t offset = 0;  // in the arena, of the word or object that cannot be right; of an "extent": in its
                               // file, which `what` names
    std::string what;          // in words; one line
};

struct VerifyReport {
    static constexpr std::size_t kMostDamage = 20;  // of one invariant told one by one; more are only counted

    std::string path;
    std::string arena_path;
    // Nobody was attached from beginning to end, and every invariant was checked. Else what others may be changing
    // was left out: not_checked says what.
    bool at_rest = false;
    std::vector<std::string> not_checked;

    std::uint64_t damage_count = 0;
    std::vector<Damage> damage;

    std::uint64_t keys = 0;
    std::uint64_t erased_keys = 0;  // erased, and still in the index
    std::uint64_t records = 0;      // committed
    std::uint64_t payload_bytes = 0;
    std::uint64_t unfinished_frames = 0;  // in flight, or left so by a writer that died
    std::uint64_t segments = 0;
    std::uint64_t spilled_segments = 0;  // of those, in files
    std::uint64_t spilled_bytes = 0;     // of payload_bytes

    // In files, with VerifyOptions::files: of the keys, and of the checkpoint.
    std::uint64_t extents_read = 0;
    std::uint64_t stored_payload_read = 0;  // bytes of payload in them
    std::uint64_t synced_unix_s = 0;        // when the checkpoint was made; 0: there is none
    std::uint64_t synced_keys = 0;          // in it
    std::uint64_t index_leaves = 0;
    std::uint64_t index_nodes = 0;

    std::uint32_t slots_attached = 0;
    std::uint32_t slots_dead = 0;  // of owners that died, waiting for their recovery

    // Blocks: each a piece of 64 B to 32 KiB or a run of pages. All but the first are counted only at rest.
    std::uint64_t blocks_reachable = 0;        // from the index
    std::uint64_t blocks_retired = 0;          // erased or replaced, waiting for the last reader
    std::uint64_t blocks_of_dead = 0;          // in work that a dead process left half-done
    std::uint64_t blocks_free = 0;             // in pages that are cut into blocks
    std::uint64_t blocks_free_in_sources = 0;  // of those, in pages that a dead slot allocates from
    std::uint64_t blocks_leaked = 0;           // taken, and in nobody's hands
    std::uint64_t leaked_bytes = 0;
    std::uint64_t pages_with_leaks =
        0;                    // in which those lie, a run of pages counted once: what one death leaks is in one
    std::uint64_t pages = 0;  // of 64 KiB
    std::uint64_t pages_free = 0;

    // By repair, before the counts above were taken.
    std::string not_repaired;  // why not, when it was asked for; else empty
    std::uint64_t repaired_blocks = 0;
    std::uint64_t repaired_bytes = 0;  // 64 KiB pages and blocks together

    [[nodiscard]] bool sound() const noexcept { return damage_count == 0; }
};

struct RecoverOptions {
    CheckCallback progress{};  // called from the caller's thread
};

// What Store::recover found and did.
struct Recovery {
    bool restored = false;  // the arena was gone, and was made anew; else nothing was done
    VerifyReport found;     // what is there now; its damage is what could not be brought back
};

}  // namespace shoal
