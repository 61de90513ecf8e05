// A store's spill files, as one process has them: opened when asked for, made, grown, punched and removed.
//
// Thread safety: every function. A crash: see spill/file_table.hpp.
#pragma once

#include <sys/stat.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <shoal/error.hpp>

#include "arena/file_identity.hpp"
#include "arena/location.hpp"
#include "arena/mapping.hpp"
#include "arena/slots.hpp"
#include "spill/checkpoint_name.hpp"
#include "spill/dead_room.hpp"
#include "spill/file_table.hpp"
#include "spill/kept_folder.hpp"

namespace shoal {

// An open spill file, for as long as somebody has it. Its numbers are kept for long: the program may have closed
// them and got them for other files, which are not written to then, nor read, nor closed.
class OpenSpillFile {
public:
    // Not open yet: what can throw is done before there is a descriptor to lose.
    explicit OpenSpillFile(std::string path) noexcept : path_(std::move(path)) {}
    OpenSpillFile(const OpenSpillFile&) = delete;
    OpenSpillFile& operator=(const OpenSpillFile&) = delete;
    ~OpenSpillFile();
    // Takes the descriptors over; -1 for none.
    void own(int descriptor, int direct) noexcept {
        descriptor_ = descriptor;
        direct_ = direct;
        file_ = FileIdentity(descriptor);
    }
    // -1, here and below, where the number means another file now: EBADF. Cost: a system call.
    [[nodiscard]] int descriptor() const noexcept { return file_.is_of(descriptor_) ? descriptor_ : -1; }
    // Past the page cache (O_DIRECT); -1 also where the file system cannot, or Options::page_cache was asked for.
    [[nodiscard]] int direct() const noexcept { return file_.is_of(direct_) ? direct_ : -1; }
    // For whole blocks from aligned memory: that one, or the other.
    [[nodiscard]] int for_blocks() const noexcept { return direct_ >= 0 ? direct() : descriptor(); }
    [[nodiscard]] bool is_lost() const noexcept { return descriptor() < 0 || (direct_ >= 0 && direct() < 0); }
    // What lies there is in nobody's hands: the room of the blocks in it goes back to the file system, where that
    // cannot, with the whole file.
    void punch(std::uint64_t begin, std::uint64_t end) const noexcept;
    void punch(const StoredAt& extent) const noexcept;  // not where it is in a bundle, which others may name
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] bool is_removed() const noexcept;  // nobody can open it any more

private:
    int descriptor_ = -1;
    int direct_ = -1;
    FileIdentity file_;
    std::string path_;
};
using SharedSpillFile = std::shared_ptr<const OpenSpillFile>;

class BundleView;

class SpillFiles {
public:
    // Gives a new file its group and mode: 0 or an errno.
    using Grant = std::function<int(int descriptor)>;

    // Of the arena's header, which says whether and where the store spills. `page_cache`: never past it.
    // `store_path`: the store's directory, from which the header says it.
    SpillFiles(const Mapping& mapping, Slots& slots, Grant grant, bool page_cache, const std::string& store_path);

    [[nodiscard]] bool enabled() const noexcept { return table_ != nullptr; }
    // As the folder is called at this moment: it may have been moved since the store was opened.
    [[nodiscard]] std::string folder() const { return folder_.path().text.data(); }

    // Whether `bytes` may be written behind `end`, by the format and by the size that this process's files may have
    // (ulimit -f).
    [[nodiscard]] static bool has_room(std::uint64_t end, std::uint64_t bytes,
                                       std::uint64_t limit = file_size_limit()) noexcept;
    // A file with room for `bytes` at its end, made if need be, that `slot` alone writes to from now on, by a
    // descriptor of its own. `*number` is set. Errors as of open(2) and write(2).
    [[nodiscard]] Result<SharedSpillFile> take(const Slot& slot, std::uint64_t bytes, std::uint32_t* number);
    // Ends that: another may write behind its end. What was allocated behind that goes back to the file system.
    void give_back(const Slot& slot, std::uint32_t number) noexcept;
    [[nodiscard]] SpillFile& entry(std::uint32_t number) const noexcept { return (*table_)[number % kSpillFiles]; }

    // The file of that number as it is now, to read where it may not be written to; kDamaged where there is none,
    // kSystem and others as of open(2). The message does not name the file.
    [[nodiscard]] Result<SharedSpillFile> open(std::uint32_t number);
    // The same, and not of one that was removed before the call.
    [[nodiscard]] Result<SharedSpillFile> open_current(std::uint32_t number);
    // What open() has remembered may be of a file that was removed since.
    void forget(std::uint32_t number);

    // No segment names this extent any more, or one segment less that bundle, of which `bytes` do not count any
    // more. An extent's room goes back to the file system, unless a checkpoint names it: then with the sync that
    // does not any more. That of a bundle, and of blocks that small extents share, goes back as spill/dead_room.hpp
    // says. `place` is a packed StoredAt; `slot`, here and below, the caller's.
    void release(const Slot& slot, std::uint64_t place, std::uint64_t bytes, bool checkpointed) noexcept;

    // The bundle that `place` names was read from that file: so its room comes back when this process has released
    // all that is in it.
    void note_bundle(const SharedSpillFile& file, std::uint64_t place, const BundleView& bundle);

    // The sync of that number names something in the file: I4 of spill/file_table.hpp.
    void keep_for_checkpoint(std::uint32_t number, std::uint64_t sync) noexcept {
        shoal::keep_for_checkpoint(entry(number), sync);
    }
    // Removes the files of which nothing counts any more.
    void remove_empty(const Slot& slot) noexcept;

    // Makes the table of a new arena say what a checkpoint names of a file, before anybody else has the arena. It
    // is a file of the arena before, to which this one never writes.
    void adopt(std::uint32_t number, std::uint64_t end, std::uint64_t live_bytes,
               std::uint64_t checkpoint) noexcept;
    // Then: the end is that of the file, where a bundle at it is shorter than its place tells. kIncompatible where
    // the file is of a later version. What else is wrong with it shows where it is read.
    [[nodiscard]] Result<void> look_at_adopted(std::uint32_t number);
    // Removes the store's files in the folder that the table has not: those of arenas that are gone.
    void remove_unnamed(const Slot& slot);

    struct Usage {
        std::uint64_t files = 0;
        std::uint64_t live_bytes = 0;  // that extents take up
        std::uint64_t disk_bytes = 0;  // that the file system has given for them
    };
    [[nodiscard]] Usage usage();

    [[nodiscard]] std::string path_of(std::uint32_t number) const;
    [[nodiscard]] std::string checkpoint_path(std::uint64_t number) const {
        return shoal::checkpoint_path(folder(), id_text_, number);
    }
    [[nodiscard]] const std::string& id_text() const noexcept { return id_text_; }
    [[nodiscard]] const Grant& grant() const noexcept { return grant_; }

private:
    [[nodiscard]] Result<void> make(std::uint32_t number);
    [[nodiscard]] Result<SharedSpillFile> open_anew(std::uint32_t number, int access) const;
    [[nodiscard]] bool try_own(SpillFile& file, std::uint64_t owner, std::uint64_t ours) const noexcept;
    [[nodiscard]] std::uint64_t hand_of(const Slot& slot) const noexcept;
    void find_adopted(int arena);
    // The path of a file for what must not need memory.
    struct PathTo {
        std::array<char, sizeof(KeptFolder::Path) + 128> text{};
    };
    [[nodiscard]] PathTo path_to(std::uint32_t number) const noexcept;
    void give_room_back(std::uint32_t number, DeadRoom::Range dead);
    void remove_if_empty(const Slot& slot, std::uint32_t number) noexcept;

    const ArenaHeader* header_;
    Slots* slots_;
    Grant grant_;
    bool page_cache_;
    bool read_only_;
    SpillFileTable* table_ = nullptr;
    KeptFolder folder_;
    std::string id_text_;
    std::vector<std::uint64_t>
        restore_of_;  // by number: + 1, of the arena before that made an adopted file, 0: none
    std::unordered_map<std::uint32_t, SharedSpillFile> open_;  // guarded by slots_->mutex(), which survives a fork
    DeadRoom dead_room_;                                       // guarded by it too
};

// Removes the spill files of a store that nobody has any more: those in the folder that bear its id and are of the
// owner of `own`, which is one of the store's other files, or of its group where that shares it. What is of others
// stays, whoever asks: a store's files name the folder, and could name somebody else's. 0, also where there is no
// such folder, or an errno. A file that only its owner may remove, in a folder with the sticky bit, is emptied.
// Throws std::bad_alloc; what it has not removed by then is there for the next call.
[[nodiscard]] int remove_spill_files(const std::string& folder, const std::string& id_text, const struct stat& own);

}  // namespace shoal
