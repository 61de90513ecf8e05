// Making a store durable: one sync at a time, by whoever asks for it.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "arena/presence.hpp"
#include "arena/system_failure.hpp"
#include "io/file_limit_signal.hpp"
#include "spill/sync_pass.hpp"
#include "store/descriptor.hpp"
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
    const std::string above = path.substr(0, path.rfind('/') + 1);
    for (const std::string& folder : {path, above}) {
        // Who may not read the folder above cannot sync it; its owner's file system does, sooner or later.
        const int cause = sync_path(folder, O_DIRECTORY);
        if (cause != 0 && cause != EACCES) return failed("cannot sync " + folder, cause);
    }
    return {};
}

}  // namespace

Result<Synced> StoreImpl::sync() {
    if (!files_.enabled()) return tl::unexpected(does_not_spill());
    if (epochs_.destroyed()) return tl::unexpected(destroyed());
    int failure = 0;
    Slot* slot = slots_.current(&failure);
    if (slot == nullptr) return tl::unexpected(no_slot(failure));
    // Locks of one description do not keep its own threads apart.
    int cause = 0;
    const LockDescription lock = mapping_.locks().another(&cause);
    if (lock.exists()) cause = begin_sync(lock);
    if (cause != 0) return failed("cannot lock the arena for a sync", cause);
    slots_.recover_all_dead();  // whose files would not go
    if (auto synced = sync_metadata(path_); !synced) {
        // A destroyer takes the metadata away first, and then tells everybody.
        if (synced.error().system_errno == ENOENT) return tl::unexpected(destroyed());
        return tl::unexpected(std::move(synced.error()));
    }
    const FileLimitSignalHeld held;  // by fallocate, and what is written without the queue
    const Waiting waiting(wait_hooks_);
    SyncPass pass({mapping_, index_, epochs_, files_, *slot});
    auto outcome = pass.run();
    // After it was announced files are removed: they must not be made again.
    if (epochs_.destroyed()) {
        ::unlink(files_.checkpoint_path().c_str());
        return tl::unexpected(destroyed());
    }
    if (!outcome) return tl::unexpected(std::move(outcome.error()));
    return Synced{outcome->keys, outcome->records, outcome->payload_bytes, outcome->copied_bytes,
                  outcome->written_bytes};
}

}  // namespace shoal
