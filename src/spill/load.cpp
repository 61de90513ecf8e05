#include "spill/load.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include <fmt/format.h>

#include "io/start_thread.hpp"
#include "spill/bundle.hpp"
#include "spill/extent_builder.hpp"

namespace shoal {
namespace {

constexpr unsigned kDepth = 16;                          // reads under way, of a thread
constexpr std::uint64_t kThreadMemoryBytes = 8 << 20;    // that they read into, at once
constexpr std::uint64_t kProcessMemoryBytes = 16 << 20;  // of all threads, but for one read of each
constexpr std::uint64_t kDirectBytes = 128 << 10;        // from which on an extent goes past the page cache
constexpr std::uint64_t kBlockBytes = 4096;              // of which such reads are multiples, where and how many
constexpr std::size_t kBufferBytes = 9 << 17;            // a longer extent gets memory of its own
constexpr std::size_t kMostBuffers = 2 * kDepth;         // kept, for all threads
constexpr std::uint64_t kThreadBytes = 8 << 20;          // another thread for each
constexpr std::size_t kMostLoadThreads = 4;              // of one load, and, but for their callers, of all
constexpr std::size_t kMostReaders = kMostLoadThreads;   // kept

}  // namespace

void Loader::ReturnMemory::operator()(std::byte* memory) const noexcept {
    if (mapped_bytes != 0)
        ::munmap(memory, mapped_bytes);
    else
        std::free(memory);
}

struct Loader::Reader {
    IoQueue queue = IoQueue::make(kDepth);
    Decompressor decompressor;
};

// One thread's share.
class Loader::Run {
public:
    Run(Loader& loader, std::span<StoredPart> parts)
        : loader_(&loader), parts_(parts), reader_(loader.take_reader()) {}
    // Where run() has thrown, reads are under way, and their memory goes only when they are done.
    ~Run() {
        while (reader_->queue.in_flight() != 0) static_cast<void>(reader_->queue.wait());
        if (memory_ != 0) loader_->end_memory(memory_, {});
        loader_->give_back(std::move(reader_));
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    void run() {
        for (StoredPart& part : parts_) {
            if (!is_in_bundle_before(part)) plan(part);
        }
        while (!waiting_.empty() || reader_->queue.in_flight() != 0) {
            while (!waiting_.empty() && reader_->queue.in_flight() < kDepth && may_read(waiting_.front().bytes)) {
                Read read = std::move(waiting_.front());
                waiting_.pop_front();
                start(std::move(read));
            }
            if (const std::optional<IoDone> done = reader_->queue.wait()) finish(*done);
        }
    }

private:
    // One extent. Straight: its payload goes to its place, what is around it to memory of the reader's; else all of
    // it goes there.
    struct Read {
        StoredPart* part = nullptr;
        std::uint64_t offset = 0;  // in the file
        std::uint64_t bytes = 0;   // of the extent; more than that where it is not known
        std::uint64_t prefix = 0;  // straight: bytes before the payload; else 0
        std::byte* to = nullptr;
        std::uint64_t payload_bytes = 0;
        std::uint32_t record_part = 0;
        bool rest_follows = false;  // parts of a large record behind this one begin where it ends

        SharedSpillFile file{};
        Memory memory{};
        std::uint64_t skew = 0;  // of the extent's first byte in that memory

        [[nodiscard]] bool straight() const noexcept { return prefix != 0; }
        [[nodiscard]] const std::byte* extent() const noexcept { return memory.get() + skew; }
    };

    // Neighbours in one bundle, of many keys: one read has them all.
    [[nodiscard]] bool is_in_bundle_before(const StoredPart& part) const noexcept {
        return &part != parts_.data() && stored_at(part.place).in_bundle && (&part - 1)->place == part.place;
    }
    [[nodiscard]] std::span<StoredPart> parts_of_read(const Read& read) const noexcept {
        StoredPart* const end = parts_.data() + parts_.size();
        StoredPart* behind = read.part + 1;
        while (behind != end && is_in_bundle_before(*behind)) ++behind;
        return {read.part, behind};
    }

    void plan(StoredPart& part) {
        const StoredAt at = stored_at(part.place);
        if (at.in_bundle) {
            waiting_.push_back({&part, at.offset, kBundleBytes, 0, part.to, part.bytes});
            return;
        }
        if (!is_in_parts(part)) {
            // What is not compressed has its payload at its end; what is compressed is shorter than that.
            const std::uint64_t least = prefix_bytes(part.key.size(), part.segments, 0);
            const std::uint64_t payload = padded_to_extent(part.bytes);
            const bool straight = at.bytes >= least + payload;
            waiting_.push_back(
                {&part, at.offset, at.bytes, straight ? at.bytes - payload : 0, part.to, part.bytes});
            return;
        }
        const std::uint32_t count = parts_of(part.bytes);
        const std::uint64_t prefix = prefix_bytes(part.key.size(), 1, 0);
        const auto payload_of = [&](std::uint32_t number) {
            return number + 1 < count ? kPartBytes : part.bytes - number * kPartBytes;
        };
        std::uint64_t plain = 0;
        for (std::uint32_t number = 0; number < count; ++number)
            plain += prefix + padded_to_extent(payload_of(number));
        if (stored_bytes_rounded(plain) != at.bytes) {  // some are compressed: each says where the next begins
            waiting_.push_back({&part, at.offset, prefix + kPartBytes, 0, part.to, payload_of(0), 0, true});
            return;
        }
        std::uint64_t offset = at.offset;
        for (std::uint32_t number = 0; number < count; ++number) {
            const std::uint64_t bytes = prefix + padded_to_extent(payload_of(number));
            waiting_.push_back(
                {&part, offset, bytes, prefix, part.to + number * kPartBytes, payload_of(number), number, false});
            offset += bytes;
        }
    }

    // Counts it, if there is memory for it, or this thread has none.
    [[nodiscard]] bool may_read(std::uint64_t bytes) {
        if (memory_ != 0 && memory_ + bytes > kThreadMemoryBytes) return false;
        if (!loader_->count_memory(bytes, memory_ == 0)) return false;
        memory_ += bytes;
        return true;
    }
    void end(Read&& read) {
        memory_ -= read.bytes;
        loader_->end_memory(read.bytes, std::move(read.memory));
    }

    void start(Read&& read) {
        if (read.part->error) return end(std::move(read));  // by another of its reads
        auto file = loader_->files_->open(stored_at(read.part->place).file);
        if (!file) {
            fail(read, std::move(file.error()));
            return end(std::move(read));
        }
        read.file = std::move(*file);
        const int past_cache = read.bytes >= kDirectBytes ? read.file->direct() : -1;
        const bool direct = past_cache >= 0;
        std::uint64_t offset = read.offset;
        std::uint64_t memory_bytes = read.straight() ? read.bytes - read.payload_bytes : read.bytes;
        if (direct) {  // whole blocks, and the payload is copied from there
            read.prefix = 0;
            offset = read.offset / kBlockBytes * kBlockBytes;
            read.skew = read.offset - offset;
            memory_bytes = round_up(read.skew + read.bytes, kBlockBytes);
        }
        read.memory = loader_->take_memory(memory_bytes);
        if (read.memory == nullptr) {
            fail(read, Error{Code::kSystem, "no memory to read with", ENOMEM, 0});
            return end(std::move(read));
        }
        std::array<iovec, 3> pieces{};
        std::size_t count = 0;
        if (read.straight()) {
            pieces[count++] = {read.memory.get(), read.prefix};
            if (read.payload_bytes != 0) pieces[count++] = {read.to, read.payload_bytes};
            const std::uint64_t behind = read.bytes - read.prefix - read.payload_bytes;
            if (behind != 0) pieces[count++] = {read.memory.get() + read.prefix, behind};
        } else {
            pieces[count++] = {read.memory.get(), memory_bytes};
        }
        const std::uint64_t tag = next_tag_++;
        const int descriptor = direct ? past_cache : read.file->descriptor();
        under_way_.emplace_back(tag, std::move(read));
        reader_->queue.submit({IoRequest::Kind::kRead, descriptor, offset, {pieces.data(), count}, tag});
    }

    void finish(const IoDone& done) {
        const auto found = std::find_if(under_way_.begin(), under_way_.end(),
                                        [&](const auto& one) { return one.first == done.tag; });
        Read read = std::move(found->second);
        under_way_.erase(found);
        if (!read.part->error && done.error != 0) {
            fail(read, Error{Code::kSystem, std::strerror(done.error), done.error, 0});
        } else if (!read.part->error) {
            const std::uint64_t bytes = std::min(done.bytes - std::min(done.bytes, read.skew), read.bytes);
            auto checked = stored_at(read.part->place).in_bundle ? take_bundled(read, bytes)
                           : read.straight()                     ? take_straight(read, bytes)
                                                                 : take_whole(read, bytes);
            if (!checked) fail(read, std::move(checked.error()));
        }
        end(std::move(read));
    }

    static tl::unexpected<Error> wrong(std::string what) {
        return tl::unexpected(Error{Code::kDamaged, std::move(what), 0, 0});
    }

    // The header, if the extent is the one that was looked for.
    [[nodiscard]] Result<ExtentHeader> check_header(const Read& read, ByteView bytes) const {
        if (bytes.size() < sizeof(ExtentHeader)) return wrong("the file ends before it");
        auto header = parse_extent_header(bytes);
        if (!header) return tl::unexpected(std::move(header.error()));
        if (!*header) return wrong("there is nothing");
        const StoredPart& part = *read.part;
        const ExtentHeader& found = **header;
        if (found.store_id != loader_->store_id_ || found.generation != part.generation) {
            return wrong("it is of another store, or of a key that was there before");
        }
        const bool of_parts = is_in_parts(part);
        const std::uint64_t last = std::uint64_t{found.first_segment} + found.segments;
        const bool has_segments =
            found.first_segment <= part.first_segment && part.first_segment + part.segments <= last;
        if (found.kind != (of_parts ? ExtentKind::kPart : ExtentKind::kData) || !has_segments ||
            (of_parts && (found.part != read.record_part || found.record_bytes != part.bytes))) {
            return wrong("it has other segments than it should");
        }
        return found;
    }

    [[nodiscard]] Result<ExtentView> check_prefix(const Read& read, ByteView prefix) const {
        auto view = parse_extent(prefix);
        if (view && !(view->key() == read.part->key)) return wrong("it is of another key");
        return view;
    }

    [[nodiscard]] Result<void> take_straight(Read& read, std::uint64_t bytes) {
        auto header = check_header(read, {read.extent(), std::min(bytes, read.prefix)});
        if (!header) return tl::unexpected(std::move(header.error()));
        const bool as_guessed = header->codec == CodecId::kNone && prefix_bytes(*header) == read.prefix &&
                                header->payload_bytes == read.payload_bytes &&
                                header->segments == read.part->segments;
        if (!as_guessed) {  // compressed all the same, or more segments than those: once more, to cut it up
            waiting_.push_front(
                {read.part, read.offset, read.bytes, 0, read.to, read.payload_bytes, read.record_part, false});
            return {};
        }
        if (bytes < read.prefix + read.payload_bytes) return wrong("the file ends within it");
        auto view = check_prefix(read, {read.extent(), read.prefix});
        if (!view) return tl::unexpected(std::move(view.error()));
        if (auto checked = check_stored(*header, {read.to, read.payload_bytes}); !checked) return checked;
        note_lengths(*read.part, *view);
        return {};
    }

    // I1: here the generation stands for the key.
    [[nodiscard]] Result<void> take_bundled(Read& read, std::uint64_t bytes) {
        const auto bundle = parse_bundle({read.extent(), bytes});
        if (!bundle) return tl::unexpected(bundle.error());
        if (loader_->notes_bundles_) loader_->files_->note_bundle(read.file, read.part->place, *bundle);
        for (StoredPart& part : parts_of_read(read)) {
            if (auto taken = take_of_bundle(part, *bundle); !taken)
                part.error = where(read, std::move(taken.error()));
        }
        return {};
    }

    [[nodiscard]] Result<void> take_of_bundle(StoredPart& part, const BundleView& bundle) const {
        auto found = bundle.find(part.generation, part.first_segment, part.segments);
        if (!found) return tl::unexpected(std::move(found.error()));
        if (bundle.store_id() != loader_->store_id_ || !*found || (*found)->payload.size() != part.bytes)
            return wrong("it is of another store, or has other segments than it should");
        if (part.bytes != 0) std::memcpy(part.to, (*found)->payload.data(), part.bytes);
        for (std::uint32_t record = 0; part.wants_lengths && record < (*found)->records; ++record)
            part.lengths.push_back((*found)->lengths.next());
        return {};
    }

    [[nodiscard]] Result<void> take_whole(Read& read, std::uint64_t bytes) {
        auto header = check_header(read, {read.extent(), bytes});
        if (!header) return tl::unexpected(std::move(header.error()));
        const std::uint64_t prefix = prefix_bytes(*header);
        if (prefix + header->stored_bytes > bytes) return wrong("it ends before its payload does");
        auto view = check_prefix(read, {read.extent(), prefix});
        if (!view) return tl::unexpected(std::move(view.error()));
        const ByteView stored(read.extent() + prefix, header->stored_bytes);
        if (header->payload_bytes == read.payload_bytes) {
            auto unpacked = unpack_payload(*header, stored, {read.to, read.payload_bytes}, reader_->decompressor);
            if (!unpacked) return unpacked;
        } else if (auto copied = take_pieces(read, *view, stored); !copied) {
            return copied;
        }
        if (read.rest_follows) plan_rest(read, *header);
        note_lengths(*read.part, *view);
        return {};
    }

    // Some segments of an extent that has more.
    [[nodiscard]] Result<void> take_pieces(const Read& read, const ExtentView& view, ByteView stored) {
        std::vector<std::byte> payload(view.header().payload_bytes);
        if (auto unpacked = unpack_payload(view.header(), stored, payload, reader_->decompressor); !unpacked)
            return unpacked;
        std::uint64_t filled = 0;
        for (std::uint32_t at = 0; at < read.part->segments; ++at) {
            const std::optional<ExtentPiece> piece = view.piece(read.part->first_segment + at);
            if (!piece || piece->bytes > read.payload_bytes - filled) return wrong("a segment has another size");
            if (piece->bytes != 0) std::memcpy(read.to + filled, payload.data() + piece->offset, piece->bytes);
            filled += piece->bytes;
        }
        if (filled != read.payload_bytes) return wrong("a segment has another size");
        return {};
    }

    void plan_rest(const Read& read, const ExtentHeader& header) {
        const std::uint64_t taken = (read.record_part + 1) * kPartBytes;
        if (taken >= read.part->bytes) return;
        const std::uint64_t payload = std::min(kPartBytes, read.part->bytes - taken);
        waiting_.push_front({read.part, read.offset + extent_bytes(header),
                             prefix_bytes(read.part->key.size(), 1, 0) + kPartBytes, 0, read.part->to + taken,
                             payload, read.record_part + 1, true});
    }

    static void note_lengths(StoredPart& part, const ExtentView& view) {
        if (!part.wants_lengths || view.header().kind == ExtentKind::kPart) return;
        for (std::uint32_t at = 0; at < part.segments; ++at) {
            const std::optional<ExtentPiece> piece = view.piece(part.first_segment + at);
            if (!piece) continue;
            RecordLengths lengths = view.lengths(*piece);
            for (std::uint32_t record = 0; record < piece->records; ++record)
                part.lengths.push_back(lengths.next());
        }
    }

    void fail(const Read& read, Error&& error) {
        const Error whole = where(read, std::move(error));
        for (StoredPart& part : parts_of_read(read)) part.error = whole;
    }

    [[nodiscard]] Error where(const Read& read, Error&& error) const {
        const StoredAt at = stored_at(read.part->place);
        error.message = fmt::format("spill file {}, extent at {}: {}", loader_->files_->path_of(at.file),
                                    read.offset, error.message);
        return std::move(error);
    }

    Loader* loader_;
    std::span<StoredPart> parts_;
    std::unique_ptr<Reader> reader_;
    std::deque<Read> waiting_;
    std::vector<std::pair<std::uint64_t, Read>> under_way_;
    std::uint64_t next_tag_ = 0;
    std::uint64_t memory_ = 0;  // bytes of extents, of reads under way
};

Loader::Loader(SpillFiles& files, Slots& slots, const SpillStoreId& store_id)
    : files_(&files), slots_(&slots), store_id_(store_id) {
    readers_.reserve(kMostReaders);  // so that what is kept takes no memory when it is given back
    buffers_.reserve(kMostBuffers);
}

Loader::~Loader() = default;

std::unique_ptr<Loader::Reader> Loader::take_reader() {
    {
        const std::lock_guard lock(slots_->mutex());
        if (!readers_.empty()) {
            std::unique_ptr<Reader> reader = std::move(readers_.back());
            readers_.pop_back();
            return reader;
        }
    }
    return std::make_unique<Reader>();
}

void Loader::give_back(std::unique_ptr<Reader> reader) noexcept {
    const std::lock_guard lock(slots_->mutex());
    if (readers_.size() < kMostReaders) readers_.push_back(std::move(reader));
}

bool Loader::count_memory(std::uint64_t bytes, bool always) {
    const std::lock_guard lock(slots_->mutex());
    own_counts();
    if (!always && memory_bytes_ + bytes > kProcessMemoryBytes) return false;
    memory_bytes_ += bytes;
    return true;
}

// Memory of the kernel's, not of malloc's, which would keep in each thread's heap what is large and not used.
Loader::Memory Loader::take_memory(std::uint64_t bytes) {
    if (bytes < kDirectBytes) {
        return {static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, round_up(bytes, kBlockBytes))), {}};
    }
    const std::uint64_t mapped = bytes > kBufferBytes ? round_up(bytes, kBlockBytes) : kBufferBytes;
    if (mapped == kBufferBytes) {
        const std::lock_guard lock(slots_->mutex());
        if (!buffers_.empty()) {
            Memory kept = std::move(buffers_.back());
            buffers_.pop_back();
            return kept;
        }
    }
    void* const memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return {memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory), {mapped}};
}

void Loader::end_memory(std::uint64_t bytes, Memory&& memory) noexcept {
    const std::lock_guard lock(slots_->mutex());
    own_counts();
    memory_bytes_ -= bytes;
    const bool kept = memory != nullptr && memory.get_deleter().mapped_bytes == kBufferBytes;
    if (kept && buffers_.size() < kMostBuffers) buffers_.push_back(std::move(memory));
}

std::size_t Loader::count_helpers(std::size_t wanted) {
    const std::lock_guard lock(slots_->mutex());
    own_counts();
    const std::size_t given = std::min(wanted, kMostLoadThreads - 1 - helpers_);
    helpers_ += given;
    return given;
}

void Loader::end_helpers(std::size_t count) noexcept {
    const std::lock_guard lock(slots_->mutex());
    helpers_ -= count;
}

// What a parent's other threads were at is not the child's.
void Loader::own_counts() noexcept {
    if (std::exchange(attachment_, slots_->attachment()) == slots_->attachment()) return;
    memory_bytes_ = 0;
    helpers_ = 0;
}

// One thread's share. Without memory of the process's its parts fail, and neither the thread nor its reads go on.
void Loader::read(std::span<StoredPart> parts) noexcept {
    try {
        Run(*this, parts).run();
    } catch (const std::bad_alloc&) {
        for (StoredPart& part : parts) {  // a message that a string keeps in itself
            if (!part.error) part.error = Error{Code::kSystem, "no memory", ENOMEM, 0};
        }
    }
}

void Loader::load(std::span<StoredPart> parts) {
    std::uint64_t bytes = 0;
    for (const StoredPart& part : parts) bytes += part.bytes;
    const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t wanted =
        std::clamp<std::size_t>(bytes / kThreadBytes, 1, std::min(processors, kMostLoadThreads));
    const std::size_t given = wanted == 1 ? 0 : count_helpers(wanted - 1);
    std::array<std::thread, kMostLoadThreads - 1> helpers;
    std::size_t begin = 0;
    std::uint64_t passed = 0;
    for (std::size_t share = 1; share <= given; ++share) {
        std::size_t end = begin;
        while (end < parts.size() && passed < bytes / (given + 1) * share) passed += parts[end++].bytes;
        const std::span<StoredPart> theirs = parts.subspan(begin, end - begin);
        begin = end;
        if (theirs.empty()) continue;
        const auto read_theirs = [this, theirs] { read(theirs); };
        if (start_thread(helpers[share - 1], read_theirs) != 0) read_theirs();
    }
    if (begin < parts.size()) read(parts.subspan(begin));
    for (std::thread& helper : helpers) {
        if (helper.joinable()) helper.join();
    }
    if (given != 0) end_helpers(given);
}

}  // namespace shoal
