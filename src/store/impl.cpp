#include "store/impl.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include <fmt/format.h>

#include "arena/changes.hpp"
#include "arena/paths_inside.hpp"
#include "arena/presence.hpp"
#include "arena/system_failure.hpp"
#include "index/remembered_chain.hpp"
#include "index/retired.hpp"
#include "recovery/finish.hpp"
#include "recovery/restore.hpp"
#include "spill/codec_word.hpp"
#include "store/hash.hpp"
#include "store/leftovers.hpp"
#include "store/metadata.hpp"
#include "store/place.hpp"
#include "store/reader.hpp"

namespace shoal {
namespace {

// Before memory is called full: three epochs make anything free, unless a thread stays inside one for longer.
constexpr int kReclaimTurns = 32;
constexpr std::chrono::microseconds kFirstPause{100};  // then twice as long each time
constexpr std::chrono::microseconds kLastPause{6'400};
constexpr std::uint64_t kRetiredToTidy = 64;
constexpr std::uint64_t kSlotsARetired = 16;  // beyond 1,024 slots, at all of which a mover of the epoch looks

}  // namespace

StoreImpl::StoreImpl(OpenedArena&& opened, const Options& options)
    : path_(std::move(opened.path)),
      arena_path_(std::move(opened.arena_path)),
      arena_note_(std::move(opened.note)),
      lock_(std::move(opened.lock)),
      mapping_(std::move(opened.mapping)),
      blocks_(mapping_),
      slots_(mapping_, blocks_),
      epochs_(
          mapping_, slots_, retired_link,
          [this](RetiredKind kind, ArenaOffset object, Slot& slot) {
              empty_retired(mapping_, blocks_, index_, kind, object, slot);
          },
          [this](RetiredKind kind, ArenaOffset object, Slot& slot) {
              free_retired(mapping_, blocks_, index_, kind, object, slot);
          }),
      index_(mapping_, blocks_, epochs_),
      pins_(slots_, epochs_),
      files_(
          mapping_, slots_, [this](int file) { return grant_like(mapping_.descriptor(), file); },
          options.page_cache, path_),
      loader_(files_, slots_, mapping_.header().store_id),
      room_wait_(options.room_wait_ms),
      wait_hooks_(options.wait_hooks),
      durable_(options.durable && files_.enabled()),
      spiller_({mapping_, blocks_, slots_, epochs_, files_}, index_) {
    blocks_.on_release_stored([this](Slot& slot, std::uint64_t place, std::uint64_t bytes, bool checkpointed) {
        files_.release(slot, place, bytes, checkpointed);
    });
    if (files_.enabled()) blocks_.on_pages_taken([this] { spiller_.call(); });
    slots_.on_death([this](Slot& dead) { finish_work(mapping_, blocks_, index_, epochs_, slots_, dead); });
    slots_.recover_all_dead();
    if (opened.restored) {
        int failure = 0;
        if (const Slot* slot = slots_.current(&failure); slot != nullptr) files_.remove_unnamed(*slot);
    }
    if (!path_.empty()) mapping_.watch_name();
    if (options.spill_thread) spiller_.start();
    mapping_.share_with_children();
    if (lock_.exists()) lock_.share_with_children();
}

StoreImpl::~StoreImpl() {
    try {
        if (durable_ && !epochs_.destroyed()) static_cast<void>(sync());
    } catch (const std::bad_alloc&) {
        // Not durable then, as after any other failure of that sync, of which a destructor cannot tell.
    }
    if (!path_.empty()) ::futimens(mapping_.descriptor(), nullptr);  // gc looks at it
    if (mapping_.header().flags != kTemporaryFlag || path_.empty()) return;
    spiller_.stop();  // it could make a file behind the removal of all
    // Withdrawing first makes sure that of several who close at once one is left alone and removes the store.
    withdraw_presence(mapping_.locks());
    std::string path;
    try {
        path = path_now();
    } catch (const std::bad_alloc&) {
        // Then it is removed where it was opened, or left to collect() where it has been moved.
    }
    lock_ = {};
    crash_point(CrashPoint::kPresenceWithdrawn);
    if (claim_removal(mapping_.locks()) != 0) return;
    crash_point(CrashPoint::kRemovalClaimed);
    try {
        Metadata metadata;
        metadata.id = mapping_.header().store_id;
        metadata.arena_path = arena_path_;
        metadata.spill_folder = files_.folder();
        remove_ended_store(mapping_.descriptor(), path.empty() ? path_ : path, metadata);
    } catch (const std::bad_alloc&) {
        // The store has ended: what is left of it goes with the next attach, creation or collect().
    }
}

Result<void> StoreImpl::fill_arena(Mapping& mapping, const Options& options, const std::string& store_path,
                                   CheckpointReader* checkpoint) {
    Blocks blocks(mapping);
    Slots slots(mapping, blocks);
    // Of an arena that is being filled, nothing is retired but leaves that were split.
    const auto free_leaf = [&blocks](RetiredKind, ArenaOffset leaf, Slot& slot) {
        blocks.release(slot, leaf, sizeof(Leaf), sizeof(Leaf));
    };
    Epochs epochs(
        mapping, slots, retired_link, [](RetiredKind, ArenaOffset, Slot&) {}, free_leaf);
    Index index(mapping, blocks, epochs);
    mapping.header().top_hint.store(~0ULL, std::memory_order_relaxed);  // relaxed: nobody sees it yet
    int failure = 0;
    Slot* slot = slots.current(&failure);
    if (slot == nullptr) return failed("cannot lock a slot of the new arena", failure);
    const Allocation tree = index.make_tree(ArenaOffset::kNull, *slot);
    const bool full = is_null(tree.offset);
    const int cause = full ? ENOSPC : blocks.reserve(options.reserve_bytes);
    if (cause != 0) {
        return tl::unexpected(Error{Code::kNoSpace,
                                    fmt::format("cannot allocate the arena's first {} bytes: {}",
                                                std::max(options.reserve_bytes, kPieceBytes), std::strerror(cause)),
                                    cause});
    }
    if (!options.spill_dir.empty()) {
        const Allocation table = blocks.allocate(*slot, sizeof(SpillFileTable));
        renew_spare_journal(mapping, blocks, *slot);
        const std::uint64_t log_bytes = change_log_bytes(mapping.bytes());
        const Allocation log = blocks.allocate(*slot, log_bytes);
        // relaxed: nobody sees it yet
        if (is_null(table.offset) || is_null(log.offset) ||
            mapping.header().spare_journal.load(std::memory_order_relaxed) == 0) {
            return tl::unexpected(Error{Code::kMemoryLimit, "no room for what spilling needs", 0});
        }
        ArenaHeader& header = mapping.header();
        header.codec = said_codec(options.codec);
        seen_from(store_path, options.spill_dir).copy(header.spill_folder.data(), header.spill_folder.size() - 1);
        header.spill_files_at = raw(table.offset);
        header.changes_at = raw(log.offset);
        header.changes_most = log_bytes / sizeof(std::uint64_t);
        header.changes_end.store(1, std::memory_order_relaxed);  // relaxed: as above
    }
    index.publish_first_tree(tree.offset);
    forget_made(*slot, 0);
    if (checkpoint == nullptr) return {};
    ArenaHeader& header = mapping.header();
    header.hash_seed = checkpoint->header().hash_seed;
    header.codec = checkpoint->header().codec;
    // relaxed: published with the arena
    header.generations.store(checkpoint->header().generations, std::memory_order_relaxed);
    SpillFiles files(mapping, slots, {}, false, store_path);
    return restore({mapping, blocks, *slot, slots.number(*slot)}, slots, index, epochs, files, tree.offset,
                   *checkpoint);
}

Result<KeyRef> StoreImpl::key_ref(ByteView key) const {
    if (key.size() > kMaxKeyBytes) [[unlikely]]
        return tl::unexpected(check_key(key).error());
    return KeyRef{key, hash_key(key, mapping_.header().hash_seed), nullptr};
}

KeyRef StoreImpl::key_ref(Key& key) const {
    const std::uint64_t seed = mapping_.header().hash_seed;
    if (key.seed_ != seed) [[unlikely]] {  // of another store, or made by nobody: it begins anew here
        key.hash_ = hash_key(key.bytes_, seed);
        key.seed_ = seed;
        key.chain_ = 0;
    }
    return KeyRef{key.bytes_, key.hash_, &key};
}

Result<Key> StoreImpl::make_key(ByteView key) const {
    return key_ref(key).map([this](const KeyRef& ref) {
        Key made;
        made.bytes_ = std::string(ref.bytes.text());
        made.hash_ = ref.hash;
        made.seed_ = mapping_.header().hash_seed;
        return made;
    });
}

ArenaOffset StoreImpl::find_chain(const KeyRef& key, ArenaOffset tree, Index::Which which) noexcept {
    if (key.handle == nullptr) return index_.find(tree, key.bytes, key.hash, which);
    Key& handle = *key.handle;
    return find_remembered(mapping_.header(), {handle.chain_, handle.tree_, handle.retirements_}, tree,
                           which == Index::Which::kFirst,
                           [&] { return index_.find(tree, key.bytes, key.hash, which); });
}

Result<std::shared_ptr<detail::Pin>> StoreImpl::pin() {
    int failure = 0;
    auto pin = std::make_shared<detail::Pin>(shared_from_this());
    const Pins::Ticket ticket = pins_.add(&failure);
    if (ticket.destroyed) return tl::unexpected(destroyed());
    if (ticket.attachment == 0) return tl::unexpected(no_slot(failure));
    pin->hold(ticket);
    crash_point(CrashPoint::kViewPinned);
    return pin;
}

bool StoreImpl::make_room() {
    int failure = 0;
    Slot* slot = slots_.current(&failure);
    if (slot == nullptr) return false;
    recover_dead_holders();
    bool freed = false;
    std::chrono::microseconds pause = kFirstPause;
    for (int turn = 0; turn < kReclaimTurns && pause <= kLastPause; ++turn) {
        if (epochs_.has_retired() && epochs_.reclaim(*slot, true)) {
            freed = true;
        } else if (!freed && (epochs_.has_retired() || !holders().empty())) {
            std::this_thread::sleep_for(pause);  // some live thread is in the middle of an operation
            pause *= 2;
        } else {
            break;
        }
    }
    return blocks_.release_empty_pages(*slot) || freed;
}

void StoreImpl::tidy(Slot& slot) noexcept {
    // Moving the epoch costs a system call, looking for dead slots some more: only now and then.
    const std::uint64_t retired = epochs_.retired_objects();
    const std::uint64_t enough = std::max<std::uint64_t>(kRetiredToTidy, slots_.high_water() / kSlotsARetired);
    if (retired >= enough) static_cast<void>(epochs_.reclaim(slot, retired % 256 == 255));
}

Error StoreImpl::no_memory(AppendOutcome outcome, std::uint64_t bytes) {
    if (outcome == AppendOutcome::kDamaged) return damaged_index();
    if (auto lost = out_of_reach()) return std::move(*lost);
    if (auto lost = lost_arena()) return std::move(*lost);
    if (outcome == AppendOutcome::kNoSpace && file_size_limit() < mapping_.bytes()) {
        return {
            Code::kNoSpace,
            fmt::format("no room for {} more bytes: this process may only make files of up to {} bytes: raise that "
                        "limit (ulimit -f)",
                        bytes, file_size_limit()),
            EFBIG, 0};
    }
    if (outcome == AppendOutcome::kNoSpace) {
        const std::string dir =
            arena_path_.empty() ? "the machine's memory" : arena_path_.substr(0, arena_path_.rfind('/'));
        return {Code::kNoSpace,
                fmt::format("no space for {} more bytes in {}, though memory_limit_bytes is {}: {}", bytes, dir,
                            limit_of(mapping_.bytes()), advice_for_space(dir)),
                ENOSPC, 0};
    }
    const int cause = spiller_.last_error();
    if (cause != 0) return cannot_spill(bytes, cause);
    return {
        Code::kMemoryLimit,
        fmt::format("no room for {} more bytes: the store's memory limit is {} bytes; {}erase keys, or create it "
                    "with a higher memory_limit_bytes",
                    bytes, limit_of(mapping_.bytes()), held_back_text()),
        0, 0};
}

Error StoreImpl::cannot_spill(std::uint64_t bytes, int cause) const {
    const bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
    const char* advice = "see to it that the folder is there and can be written to";
    if (full) advice = "make room there, or erase keys";
    if (cause == EFBIG) advice = "raise the limit of file sizes (ulimit -f), or erase keys";
    return {full ? Code::kNoSpace : Code::kMemoryLimit,
            fmt::format(
                "no room for {} more bytes: the store's memory limit is {} bytes, and nothing can be spilled to "
                "{}: {}; {}, and appends go on",
                bytes, limit_of(mapping_.bytes()), files_.folder(), std::strerror(cause), advice),
            cause, 0};
}

Result<StoreImpl::Inside> StoreImpl::enter_to_look(const LookSlot& look) const {
    if (look.get() == nullptr) return tl::unexpected(no_slot(look.failure()));
    if (!epochs_.enter(*look.get())) return tl::unexpected(destroyed());
    return Inside(epochs_, *look.get());
}

Error StoreImpl::no_slot(int failure) const {
    if (auto lost = out_of_reach(); lost && failure != 0) return std::move(*lost);
    if (failure != 0) {
        const bool full = failure == ENOSPC || failure == EDQUOT || failure == EFBIG;
        return {full ? Code::kNoSpace : Code::kSystem,
                fmt::format("cannot take a slot of the process table: {}", std::strerror(failure)), failure, 0};
    }
    return {Code::kTooManyThreads,
            fmt::format("all {} slots of the process table are taken: let some threads end or close their stores",
                        kSlots - kLookSlots),
            0, 0};
}

std::optional<Error> StoreImpl::out_of_reach() const {
    const std::string arena = arena_path_.empty() ? "in memory" : arena_path_;
    if (const int cause = mapping_.locks().refusal(); cause != 0) {
        return Error{
            Code::kSystem,
            fmt::format("this process was forked and could not get locks of its own on arena {}: {}; open the "
                        "store anew in the child",
                        arena, std::strerror(cause)),
            cause, 0};
    }
    if (mapping_.descriptor() >= 0) return std::nullopt;
    return Error{
        Code::kSystem,
        fmt::format("this process has closed the descriptor of arena {} (close_range, closefrom), which only "
                    "the store may close; open the store anew",
                    arena),
        EBADF, 0};
}

std::string StoreImpl::path_now() const { return lock_.exists() ? lock_.folder_now().value_or(path_) : path_; }

std::optional<Error> StoreImpl::lost_arena(const std::string& advice) const {
    if (epochs_.destroyed()) return destroyed();
    if (!mapping_.has_lost_name()) return std::nullopt;
    std::string what_to_do = advice;
    if (advice.empty() && files_.enabled()) what_to_do = "sync it from one of them, close it";
    if (advice.empty() && !files_.enabled()) {
        what_to_do = "what it holds goes with the last of them: get what is needed, close it";
    }
    return Error{
        Code::kArenaGone,
        fmt::format("the arena {} of store {} has lost its name (removed by hand, by a cleaner of temporary "
                    "files, or by logind's RemoveIPC), so that only the processes that have it open reach "
                    "it: {} in all of them, and open it again",
                    arena_path_, path_, what_to_do),
        ESTALE, 0};
}

Error StoreImpl::destroyed() const {
    return {Code::kDestroyed, fmt::format("the store {} was destroyed; open it anew", path_), 0, 0};
}

Error StoreImpl::does_not_spill() {
    return {Code::kInvalidArgument, "the store does not spill: it was created without Options::spill_dir", 0, 0};
}

Error StoreImpl::damaged(ByteView key) const {
    return {Code::kDamaged,
            fmt::format("arena {}: a frame of the key with {} bytes cannot be right; see 'shoal verify'",
                        arena_path_, key.size()),
            0, 0};
}

Error StoreImpl::damaged_index() const {
    return {Code::kDamaged, fmt::format("arena {}: its index cannot be right; see 'shoal verify'", arena_path_), 0,
            0};
}

}  // namespace shoal
