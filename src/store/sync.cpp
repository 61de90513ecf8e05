// Making a store durable: one sync at a time, by a thread that asks for it. A thread that waits is content with a
// sync that another has begun since; it takes the turn of one that is dead or stopped.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "arena/descriptor.hpp"
#include "arena/system_failure.hpp"
#include "io/file_limit_signal.hpp"
#include "segment/layout.hpp"
#include "spill/restores.hpp"
#include "spill/sync_finish.hpp"
#include "spill/sync_pass.hpp"
#include "store/impl.hpp"
#include "store/metadata.hpp"
#include "store/waiting.hpp"

namespace shoal {
namespace {

int sync_path(const std::string& path, int flags) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
    return file.get() < 0 || ::fsync(file.get()) != 0 ? errno : 0;
}

// store.meta, by which an open finds the rest, and the names that lead to it.
Result<void> sync_metadata(const std::string& path) {
    const std::string meta = path + "/" + std::string(kMetadataName);
    if (const int cause = sync_path(meta, O_NOFOLLOW); cause != 0) return failed("cannot sync " + meta, cause);
    return sync_names(path);
}

}  // namespace

Result<void> sync_names(const std::string& path) {
    const std::string above = path.substr(0, path.rfind('/') + 1);
    for (const std::string& folder : {path, above}) {
        // Who may not read the folder above cannot sync it; its owner's file system does, sooner or later.
        const int cause = sync_path(folder, O_DIRECTORY);
        if (cause != 0 && cause != EACCES) return failed("cannot sync " + folder, cause);
    }
    return {};
}

// Watches the sync that has the turn.
class StoreImpl::SyncWatch {
public:
    explicit SyncWatch(StoreImpl& store) : store_(store), turns_(store.mapping_.header()) {}

    enum class Owner : std::uint8_t { kWorks, kStopped, kGone };
    [[nodiscard]] Owner look(const SyncTurn& turn) {
        const auto owner = turns_.owner(turn);
        if (owner && *owner != 0) store_.slots_.recover_if_dead(slot_in_hand(*owner) % kSlots);
        if (owner && (*owner == 0 || !store_.slots_.is_current(*owner))) return Owner::kGone;
        const std::uint32_t progress = turns_.progress();
        const auto now = std::chrono::steady_clock::now();
        if (turn != seen_ || progress != progress_) {
            seen_ = turn;
            progress_ = progress;
            since_ = now;
        }
        return now - since_ < lapse(turn) ? Owner::kWorks : Owner::kStopped;
    }

private:
    StoreImpl& store_;
    SyncTurns turns_;
    SyncTurn seen_{kMostSyncNumber};
    std::uint32_t progress_ = 0;
    std::chrono::steady_clock::time_point since_;
};

std::uint64_t StoreImpl::sync_hand(const Slot& slot) const noexcept {
    return in_hand(slots_.number(slot),
                   slot.generation.load(std::memory_order_relaxed));  // relaxed: our own slot's
}

Result<std::optional<std::uint64_t>> StoreImpl::take_sync_turn(std::uint64_t enough, Slot& slot) {
    constexpr std::chrono::milliseconds kPause{20};
    SyncTurns turns(mapping_.header());
    SyncWatch watch(*this);
    const std::uint64_t hand = sync_hand(slot);
    for (;;) {
        const std::uint32_t ends = turns.ends();  // before the look
        if (epochs_.destroyed()) return tl::unexpected(destroyed());
        if (turns.checkpoint() >= enough) return std::nullopt;
        const SyncTurn turn = turns.now();
        if (turn.phase == SyncPhase::kIdle) {
            if (const auto number = turns.begin(turn, hand, false)) return number;
            continue;
        }
        const SyncWatch::Owner owner = watch.look(turn);
        if (owner == SyncWatch::Owner::kWorks) {
            turns.wait_for_end(ends, kPause);
        } else if (turn.phase == SyncPhase::kCopying) {
            if (const auto number = turns.begin(turn, hand, owner == SyncWatch::Owner::kStopped)) return number;
        } else if (auto finished = finish_sync({mapping_, epochs_, files_, slot}, turn.number); !finished) {
            if (finished.error().code == Code::kDestroyed) return tl::unexpected(destroyed());
            return tl::unexpected(std::move(finished.error()));
        }
    }
}

// An arena without a name is synced like any other: as long as a process has it open, no process restores the store
// (store/arena_lock.hpp), so what it holds can be saved. But no more is to come into it.
std::optional<Error> StoreImpl::lost_after_sync() const {
    return lost_arena("what it held when this sync began is synced and comes back; close it");
}

// What another's sync has written: that checkpoint, or one that has replaced it since.
Result<Synced> StoreImpl::synced_by_another() {
    const SyncTurns turns(mapping_.header());
    for (;;) {
        const std::uint64_t number = turns.checkpoint();
        const auto checkpoint =
            CheckpointReader::open(files_.checkpoint_path(number), mapping_.header().store_id, {}, number);
        if (checkpoint) {
            const CheckpointHeader& header = checkpoint->header();
            return Synced{header.chains, header.records, header.payload_bytes, 0, 0};
        }
        if (epochs_.destroyed()) return tl::unexpected(destroyed());
        if (turns.checkpoint() == number) return tl::unexpected(checkpoint.error());
    }
}

// What the checkpoint has, where nothing has changed since it was begun (arena/changes.hpp). The caller has the
// turn.
std::optional<Synced> StoreImpl::unchanged() const {
    const ArenaHeader& arena = mapping_.header();
    const std::uint64_t number = SyncTurns(mapping_.header()).checkpoint();
    if (number == 0) return std::nullopt;
    const auto checkpoint = CheckpointReader::open(files_.checkpoint_path(number), arena.store_id, {}, number);
    if (!checkpoint) return std::nullopt;  // removed by hand, or damaged: it is written anew
    const std::uint64_t position = checkpoint->tail().changes;
    // acquire: what the caller has seen changed was logged before
    const std::uint64_t end = arena.changes_end.load(std::memory_order_acquire);
    if (position == 0 || position != end || !has_changes_since(arena, position, end)) return std::nullopt;
    const CheckpointHeader& header = checkpoint->header();
    return Synced{header.chains, header.records, header.payload_bytes, 0, 0};
}

Result<Synced> StoreImpl::sync_whole(bool is_named) {
    if (!files_.enabled()) return tl::unexpected(does_not_spill());
    if (epochs_.destroyed()) return tl::unexpected(destroyed());
    // Where locks have kept no other from restoring the store, its files are the other arena's by now.
    const auto is_ours = [this](const struct stat& info, const std::string&) -> Result<void> {
        struct stat own {};
        if (::fstat(mapping_.descriptor(), &own) == 0 && belongs_with(own, info)) return {};
        return tl::unexpected(Error{});
    };
    const auto newest = newest_restore(files_.folder(), files_.id_text(), is_ours);
    if (!newest) return tl::unexpected(newest.error());
    if (newest->number > mapping_.header().restore) {
        return tl::unexpected(is_outdated(path_, arena_path_));
    }
    int failure = 0;
    Slot* slot = slots_.current(&failure);
    if (slot == nullptr) return tl::unexpected(no_slot(failure));
    SyncTurns turns(mapping_.header());
    const std::uint64_t enough = turns.announce();
    const Waiting waiting(wait_hooks_);
    slots_.recover_all_dead();  // whose files would not go
    if (auto synced = is_named ? sync_metadata(path_now()) : Result<void>{}; !synced) {
        // A destroyer takes the metadata away first, and then tells everybody.
        if (synced.error().system_errno == ENOENT) return tl::unexpected(destroyed());
        return tl::unexpected(std::move(synced.error()));
    }
    const FileLimitSignalHeld held;  // by fallocate, and what is written without the queue
    for (;;) {
        auto number = take_sync_turn(enough, *slot);
        if (!number) return tl::unexpected(std::move(number.error()));
        if (!*number) {
            if (auto lost = lost_after_sync()) return tl::unexpected(std::move(*lost));
            return synced_by_another();
        }
        const HeldSyncTurn turn(turns, **number, sync_hand(*slot));
        if (const auto synced = unchanged()) {
            static_cast<void>(give_up_sync(mapping_, **number));
            if (auto lost = lost_after_sync()) return tl::unexpected(std::move(*lost));
            return *synced;
        }
        SyncPass pass({mapping_, index_, slots_, epochs_, files_, *slot, **number});
        auto outcome = pass.run();
        if (outcome) {
            auto finished = finish_sync({mapping_, epochs_, files_, *slot}, **number);
            if (finished && turns.checkpoint() < **number) {
                finished = failed("checkpoint " + files_.checkpoint_path(**number), ENOENT);  // removed by hand
            }
            if (!finished) outcome = tl::unexpected(std::move(finished.error()));
        } else if ((!give_up_sync(mapping_, **number) || pass.has_lost_before()) && !epochs_.destroyed()) {
            continue;  // another has taken the turn, or everything is to be copied anew
        }
        // After it was announced files are removed: they must not be made again.
        if (epochs_.destroyed()) {
            ::unlink(files_.checkpoint_path(**number).c_str());
            return tl::unexpected(destroyed());
        }
        if (!outcome) return tl::unexpected(std::move(outcome.error()));
        if (auto lost = lost_after_sync()) return tl::unexpected(std::move(*lost));
        return Synced{outcome->keys, outcome->records, outcome->payload_bytes, outcome->copied_bytes,
                      outcome->written_bytes};
    }
}

}  // namespace shoal
