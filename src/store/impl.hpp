// A Store from the inside: the rooms below, put together, and what each operation goes through.
//
// Thread safety: as Store. A crash in any operation: see the rooms; this file adds no state to the arena.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "arena/crash_point.hpp"
#include "arena/pins.hpp"
#include "backup/layout.hpp"
#include "index/index.hpp"
#include "spill/load.hpp"
#include "spill/spiller.hpp"
#include "store/directory.hpp"

namespace shoal {

// A key on its way in: by its bytes, or by a handle that may know its chain.
struct KeyRef {
    ByteView bytes;
    std::uint64_t hash;
    Key* handle;
};

class BackupReader;
class GroupLookUp;

class StoreImpl : public std::enable_shared_from_this<StoreImpl> {
public:
    StoreImpl(OpenedArena&& opened, const Options& options);
    ~StoreImpl();  // the last one of a temporary store removes it
    StoreImpl(const StoreImpl&) = delete;
    StoreImpl& operator=(const StoreImpl&) = delete;

    // Fills a new arena: index and reserve, and what a checkpoint names. See FillArena.
    [[nodiscard]] static Result<void> fill_arena(Mapping& mapping, const Options& options,
                                                 const std::string& store_path, CheckpointReader* checkpoint);

    [[nodiscard]] Result<KeyRef> key_ref(ByteView key) const;
    [[nodiscard]] KeyRef key_ref(Key& key) const;
    [[nodiscard]] Result<Key> make_key(ByteView key) const;

    [[nodiscard]] Result<void> append(const KeyRef& key, const Payload& payload);
    [[nodiscard]] Result<void> append(std::span<const Pair> batch);
    [[nodiscard]] Result<bool> iset(const KeyRef& key, ByteView value);
    [[nodiscard]] Result<bool> erase(const KeyRef& key);
    [[nodiscard]] Result<void> drop();

    [[nodiscard]] Result<Bytes> get(const KeyRef& key);
    [[nodiscard]] std::vector<Result<Bytes>> get(std::span<const ByteView> keys);
    [[nodiscard]] Result<std::size_t> get_into(const KeyRef& key, std::span<std::byte> buffer);
    [[nodiscard]] Result<View> view(const KeyRef& key);
    [[nodiscard]] Result<Records> records(const KeyRef& key);
    [[nodiscard]] Result<void> records(const KeyRef& key, std::size_t part_bytes,
                                       const std::function<bool(const Records&)>& take);
    [[nodiscard]] Result<ValueSize> size(const KeyRef& key);
    [[nodiscard]] Result<bool> contains(const KeyRef& key);
    [[nodiscard]] Result<bool> next_keys(KeyCursor& cursor);
    [[nodiscard]] Result<void> for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take);
    [[nodiscard]] Result<std::vector<Bytes>> keys();
    [[nodiscard]] Result<Stats> stats();
    [[nodiscard]] Result<std::uint64_t> spill(std::uint64_t bytes);
    [[nodiscard]] Result<Synced> sync() { return sync_whole(true); }
    // Of a store that no store.meta names yet, which is its maker's to make durable.
    [[nodiscard]] Result<Synced> sync_before_named() { return sync_whole(false); }
    [[nodiscard]] Result<BackedUp> backup(const BackupSink& sink, const BackupOptions& options);
    [[nodiscard]] Result<BackedUp> backup(const std::string& path, const BackupOptions& options);
    // Appends all of the backup to this new store, which no other process knows yet, and syncs it where it spills.
    [[nodiscard]] Result<Restored> fill_from(BackupReader& reader, std::uint64_t file_bytes,
                                             const BackupCallback& progress);
    [[nodiscard]] Result<void> set_codec(const KeyRef& key, const Codec& codec);
    [[nodiscard]] Result<std::vector<Attached>> attached();

private:
    friend class detail::Pin;
    friend class BackupRun;
    friend class BatchAppender;
    friend class FilesCheck;
    friend class GroupLookUp;
    friend class LiveVerification;
    friend class RoomWait;

    // The calling thread inside an epoch, from construction to destruction.
    class Inside {
    public:
        Inside(const Epochs& epochs, Slot& slot) noexcept : epochs_(&epochs), slot_(&slot) {}
        Inside(Inside&& other) noexcept : epochs_(other.epochs_), slot_(std::exchange(other.slot_, nullptr)) {}
        Inside& operator=(Inside&&) = delete;
        ~Inside() {
            if (slot_ != nullptr) epochs_->leave(*slot_);
        }
        [[nodiscard]] Slot& slot() const noexcept { return *slot_; }

    private:
        const Epochs* epochs_;
        Slot* slot_;
    };
    [[nodiscard]] Result<Inside> enter() {
        int failure = 0;
        Slot* slot = slots_.current(&failure);
        if (slot == nullptr) [[unlikely]]
            return tl::unexpected(no_slot(failure));
        if (!epochs_.enter(*slot)) [[unlikely]]
            return tl::unexpected(destroyed());
        crash_point(CrashPoint::kEpochEntered);
        return Inside(epochs_, *slot);
    }
    [[nodiscard]] Result<Inside> enter_to_look(const LookSlot& look) const;  // valid as long as `look`
    [[nodiscard]] ChainContext context(Slot& slot) noexcept {
        return {mapping_, blocks_, slot, slots_.number(slot)};
    }

    struct CutOfChain {
        Cut cut;
        std::uint64_t generation = 0;
        std::uint32_t codec = 0;  // packed; 0: the store's
        ArenaOffset chain = ArenaOffset::kNull;
    };
    // The key's chain in `tree`: from the handle when it still holds, else looked up and remembered there.
    [[nodiscard]] ArenaOffset find_chain(const KeyRef& key, ArenaOffset tree, Index::Which which) noexcept;
    void look_ahead(const GroupLookUp& look_up, std::size_t count) const noexcept;
    [[nodiscard]] std::optional<CutOfChain> cut_of(const KeyRef& key) noexcept;
    // The cut's bytes, as far as they fit into `to`: what is resident is copied now, what is stored is added to
    // `stored`, for load(). Bytes of all of it.
    [[nodiscard]] Result<std::size_t> gather(const KeyRef& key, const CutOfChain& found, std::span<std::byte> to,
                                             std::vector<StoredPart>& stored) const;
    // What of the cut is in files, to be read; where to is not said yet. The key's bytes are the caller's.
    [[nodiscard]] std::vector<StoredPart> stored_parts(const KeyRef& key, const CutOfChain& found) const;
    [[nodiscard]] Result<Bytes> gather_whole(const KeyRef& key, std::vector<StoredPart>& stored);
    // Outside of every epoch. False: the key was erased meanwhile, or segments of it were merged, and its value is
    // to be read anew.
    [[nodiscard]] Result<bool> load(const KeyRef& key, std::span<StoredPart> stored);
    [[nodiscard]] Result<bool> loaded(const KeyRef& key, std::span<StoredPart> stored);  // what became of it
    void read_files(std::span<StoredPart> stored);
    [[nodiscard]] Result<bool> give_parts(const KeyRef& key, const CutOfChain& found,
                                          const std::shared_ptr<detail::Pin>& pin, std::size_t part_bytes,
                                          std::uint64_t most, std::uint64_t* given,
                                          const std::function<bool(const Records&)>& take);
    // Whether the key's chain is the part's still, and a segment of it is stored there.
    [[nodiscard]] Result<bool> still_names(const KeyRef& key, const StoredPart& part);
    [[nodiscard]] AppendOutcome append_inside(const ChainContext& context, const KeyRef& key,
                                              const Payload& payload, bool* anew) noexcept;
    [[nodiscard]] AppendOutcome append_anew(const ChainContext& context, const KeyRef& key, const Payload& payload,
                                            bool only_if_missing, bool* was_there) noexcept;
    [[nodiscard]] Result<std::shared_ptr<detail::Pin>> pin();
    template <class Made>
    [[nodiscard]] Result<Made> make_view(const KeyRef& key, bool with_empty);

    [[nodiscard]] BackupHeader backup_header() const;
    [[nodiscard]] Codec backup_codec(const BackupOptions& options) const;

    class SyncWatch;
    // Waits for the turn to sync, and takes it: its number. Nothing where a checkpoint of the number `enough`, or a
    // later one, has come meanwhile. A sync that is dead or stopped loses its turn, or is finished here.
    // kDestroyed; as of finish_sync().
    [[nodiscard]] Result<std::optional<std::uint64_t>> take_sync_turn(std::uint64_t enough, Slot& slot);
    [[nodiscard]] std::uint64_t sync_hand(const Slot& slot) const noexcept;  // as the owner of a turn
    [[nodiscard]] Result<Synced> sync_whole(bool is_named);
    [[nodiscard]] Result<Synced> synced_by_another();
    [[nodiscard]] std::optional<Synced> unchanged() const;
    [[nodiscard]] std::optional<Error> lost_after_sync() const;
    [[nodiscard]] std::string path_now() const;  // of the store's directory, which may have been moved

    [[nodiscard]] Result<bool> replace_index();  // by an empty one; false: there is no memory for it
    [[nodiscard]] Result<void> erase_each();

    // After a failure for lack of memory, outside of every epoch: frees what is retired; true when some came back.
    [[nodiscard]] bool make_room();
    // After an operation that may have retired something, outside of every epoch: frees what it can, now and then.
    void tidy(Slot& slot) noexcept;

    // --- who holds memory back (store/holders.cpp) ---
    // A slot that keeps retired or spilled memory from reuse: all of it, being behind, or what it has in its hand.
    struct Holder {
        std::uint32_t slot;
        std::uint32_t generation;  // of its owner
        std::uint64_t word;        // its epoch, or what it has in its hand: another when it has moved on
        bool is_behind;

        [[nodiscard]] bool operator==(const Holder&) const = default;
    };
    static constexpr std::uint64_t kHeldForLongMs = 1000;
    [[nodiscard]] std::vector<Holder> holders() const;
    [[nodiscard]] bool is_stopped(const Slot& slot) const;  // where /proc shows it
    // How long an append may wait since it found no room, as things are at this moment.
    [[nodiscard]] std::chrono::milliseconds patience();
    // An append has waited as long as it may: the next one need not wait for the same again, until they move on.
    void give_up();
    void recover_dead_holders() noexcept;

    [[nodiscard]] Attached attached_in(std::uint32_t slot_number);
    // Those that keep memory from reuse, but for who has had some in its hand for less than `least_ms`.
    [[nodiscard]] std::vector<Attached> held_back_by(std::uint64_t least_ms);
    [[nodiscard]] std::string held_back_text();  // for an error's message; empty when nobody is to be named

    [[nodiscard]] Error no_memory(AppendOutcome outcome, std::uint64_t bytes);
    [[nodiscard]] Error cannot_spill(std::uint64_t bytes, int cause) const;
    [[nodiscard]] Error no_slot(int failure) const;
    // What this process has lost of the arena: in a child of fork locks of its own, else its descriptor.
    [[nodiscard]] std::optional<Error> out_of_reach() const;
    // Where what is appended to this arena is kept for nobody: the store was destroyed, or the arena has lost its
    // name. `advice`: what to do about the latter; empty: as is right for the store. Cost: two system calls.
    [[nodiscard]] std::optional<Error> lost_arena(const std::string& advice = {}) const;
    [[nodiscard]] Error destroyed() const;
    [[nodiscard]] static Error does_not_spill();
    [[nodiscard]] Error not_found() const { return {Code::kNotFound, "no such key", 0, 0}; }
    [[nodiscard]] Error damaged(ByteView key) const;
    [[nodiscard]] Error damaged_index() const;

    std::string path_;
    std::string arena_path_;
    std::string arena_note_;
    ArenaLock lock_;  // until all below is gone
    Mapping mapping_;
    Blocks blocks_;
    Slots slots_;
    Epochs epochs_;
    Index index_;
    Pins pins_;
    SpillFiles files_;
    Loader loader_;
    std::chrono::milliseconds room_wait_;
    WaitHooks wait_hooks_;
    std::vector<Holder> given_up_;  // guarded by slots_.mutex(), which survives a fork
    bool durable_;
    Spiller spiller_;  // last: its thread uses all of the above
};

namespace detail {

// Keeps the arena mapped and what was reachable at its making readable.
class Pin {
public:
    // Made before its pin is, which would have no owner if there were no memory for it.
    explicit Pin(std::shared_ptr<StoreImpl> store) noexcept : store_(std::move(store)) {}
    void hold(const Pins::Ticket& ticket) noexcept { ticket_ = ticket; }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() {
        if (ticket_.attachment != 0) store_->pins_.remove(ticket_);
    }

private:
    std::shared_ptr<StoreImpl> store_;
    Pins::Ticket ticket_;
};

}  // namespace detail
}  // namespace shoal
