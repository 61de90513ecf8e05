#include "spill/sync_finish.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <vector>

#include "arena/changes.hpp"
#include "arena/crash_point.hpp"
#include "arena/system_failure.hpp"
#include "chain/layout.hpp"
#include "spill/checkpoint_name.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/checkpoint_writer.hpp"

namespace shoal {
namespace {

constexpr std::size_t kMostHeldOpen = 64;  // files, while room is given back

bool is_there(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

bool end_sync(Mapping& mapping, std::uint64_t number, SyncPhase from) noexcept {
    SyncTurns turns(mapping.header());
    if (!turns.move(number, from, SyncPhase::kIdle)) return false;
    turns.count_end();
    return true;
}

// Gives the checkpoint its name, durably.
Result<void> publish(const SyncFinishContext& context, std::uint64_t number) {
    SyncTurns turns(context.mapping.header());
    const std::string path = context.files.checkpoint_path(number);
    const int cause = name_checkpoint(path);
    if (cause != 0 && (cause != ENOENT || !is_there(path))) {
        if (context.epochs.destroyed()) return tl::unexpected(Error{Code::kDestroyed, ""});
        if (!turns.is_at(number, SyncPhase::kNaming)) return {};  // a later one has replaced it
        // Removed by hand, under both names: what it was to hold is in memory, and the next sync writes it.
        if (cause == ENOENT) static_cast<void>(end_sync(context.mapping, number, SyncPhase::kNaming));
        return failed("cannot name checkpoint " + path, cause);
    }
    crash_point(CrashPoint::kCheckpointNamed);
    if (context.epochs.destroyed()) {  // its destroyer may have looked for files before
        ::unlink(path.c_str());
        return tl::unexpected(Error{Code::kDestroyed, ""});
    }
    if (auto synced = sync_folder(context.files.folder()); !synced) return synced;
    static_cast<void>(turns.move(number, SyncPhase::kNaming, SyncPhase::kGivingBack));
    crash_point(CrashPoint::kCheckpointDurable);
    return {};
}

// Gives back what checkpoint `before` names and checkpoint `number` does not.
class RoomGivenBack {
public:
    RoomGivenBack(const SyncFinishContext& context, std::uint64_t before, std::uint64_t number)
        : context_(context), turns_(context.mapping.header()), before_(before), number_(number) {}

    void run() {
        const SpillStoreId& id = context_.mapping.header().store_id;
        const auto newest = CheckpointFile::open(context_.files.checkpoint_path(number_), id, {});
        if (!newest) return;  // what this one keeps is not guessed
        if ((*newest)->tail().before != 0) {
            if ((*newest)->tail().before == before_) give_back_freed(**newest);
            return;
        }
        auto old = CheckpointReader::open(context_.files.checkpoint_path(before_), id);
        if (!old) return;  // there is none, or one that says nothing
        auto now = CheckpointReader::open(context_.files.checkpoint_path(number_), id);
        if (!now) return;
        CheckpointedChain kept_chain;
        CheckpointedChain old_chain;
        auto has_kept = now->next(kept_chain);
        for (auto has_old = old->next(old_chain); has_old && *has_old; has_old = old->next(old_chain)) {
            while (has_kept && *has_kept && order(kept_chain) < order(old_chain)) has_kept = now->next(kept_chain);
            if (!has_kept || !turns_.step(number_, SyncPhase::kGivingBack)) return;
            kept_.clear();
            if (*has_kept && order(kept_chain) == order(old_chain)) places_of(kept_chain, kept_);
            places_of(old_chain, named_);
            for (const std::uint64_t place : named_) {
                if (std::binary_search(kept_.begin(), kept_.end(), place)) continue;
                crash_point(CrashPoint::kSyncGivingRoom);
                if (!punch(stored_at(place))) return;
            }
        }
    }

private:
    // Of a delta, which says itself what that is.
    void give_back_freed(const CheckpointFile& delta) {
        const auto freed = delta.freed();
        for (const std::uint64_t place : freed ? *freed : std::vector<std::uint64_t>{}) {
            if (!turns_.step(number_, SyncPhase::kGivingBack)) return;
            crash_point(CrashPoint::kSyncGivingRoom);
            if (!punch(stored_at(place))) return;
        }
    }
    static std::pair<std::uint64_t, std::uint64_t> order(const CheckpointedChain& chain) {
        return {chain.hash, generation_of(chain.identity)};
    }
    static void places_of(const CheckpointedChain& chain, std::vector<std::uint64_t>& places) {
        places.clear();
        for (const CheckpointSegment& segment : chain.segments) places.push_back(segment.place);
        std::sort(places.begin(), places.end());
        places.erase(std::unique(places.begin(), places.end()), places.end());
    }
    // False: all of this has been done.
    bool punch(const StoredAt& at) {
        auto found = open_.find(at.file);
        if (found == open_.end()) {
            auto file = context_.files.open_current(at.file);
            if (!file) return true;
            // I2: while `before_` is the newest that replaced others, the file is kept for it, and is the one that
            // it names.
            if (!turns_.was_checkpoint(before_)) return false;
            if (open_.size() == kMostHeldOpen) open_.clear();
            found = open_.emplace(at.file, std::move(*file)).first;
        }
        found->second->punch(at);
        return true;
    }

    const SyncFinishContext& context_;
    SyncTurns turns_;
    std::uint64_t before_;
    std::uint64_t number_;
    std::unordered_map<std::uint32_t, SharedSpillFile> open_;
    std::vector<std::uint64_t> kept_;
    std::vector<std::uint64_t> named_;
};

// Checkpoints before that one, but those that it is a delta of; or only those that were never named.
void remove_checkpoints_before(const SpillFiles& files, const SpillStoreId& id, std::uint64_t number,
                               bool only_unpublished) {
    std::vector<std::uint64_t> read;
    if (!only_unpublished) {
        const auto checkpoint = CheckpointReader::open(files.checkpoint_path(number), id);
        if (!checkpoint) return;  // what it is a delta of is not guessed
        read = checkpoint->numbers();
    }
    const auto all = checkpoints_in(files.folder(), files.id_text());
    for (const CheckpointName& name : all ? *all : std::vector<CheckpointName>{}) {
        if (name.number >= number || (only_unpublished && !name.is_unpublished)) continue;
        if (!name.is_unpublished && std::find(read.begin(), read.end(), name.number) != read.end()) continue;
        std::string path = files.checkpoint_path(name.number);
        if (name.is_unpublished) path += kUnpublishedEnding;
        ::unlink(path.c_str());
    }
}

void replace_checkpoints(const SyncFinishContext& context, std::uint64_t number) {
    ArenaHeader& header = context.mapping.header();
    SyncTurns turns(header);
    if (const std::uint64_t before = turns.checkpoint(); before < number) {
        RoomGivenBack(context, before, number).run();
        crash_point(CrashPoint::kSyncRoomGivenBack);
        turns.replace_checkpoint(number);
        crash_point(CrashPoint::kCheckpointReplaced);
    }
    if (const auto newest = CheckpointFile::open(context.files.checkpoint_path(number), header.store_id, {}))
        forget_changes_before(header, (*newest)->tail().changes);
    context.files.remove_empty(context.slot);
    remove_checkpoints_before(context.files, header.store_id, number, false);
    crash_point(CrashPoint::kCheckpointsRemoved);
}

}  // namespace

Result<void> finish_sync(const SyncFinishContext& context, std::uint64_t number) {
    SyncTurns turns(context.mapping.header());
    if (turns.is_at(number, SyncPhase::kNaming)) {
        if (auto published = publish(context, number); !published) return published;
    }
    if (turns.is_at(number, SyncPhase::kGivingBack)) {
        replace_checkpoints(context, number);
        static_cast<void>(end_sync(context.mapping, number, SyncPhase::kGivingBack));
    }
    return {};
}

bool give_up_sync(Mapping& mapping, std::uint64_t number) noexcept {
    return end_sync(mapping, number, SyncPhase::kCopying);
}

void remove_unpublished_before(const SpillFiles& files, std::uint64_t number) {
    remove_checkpoints_before(files, {}, number, true);
}

Result<void> sync_folder(const std::string& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int cause = descriptor < 0 || ::fsync(descriptor) != 0 ? errno : 0;
    if (descriptor >= 0) ::close(descriptor);
    if (cause != 0) return failed("cannot sync folder " + folder, cause);
    return {};
}

}  // namespace shoal
