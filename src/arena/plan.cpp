#include "arena/plan.hpp"

#include <bit>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <xxhash.h>

#include "arena/blocks.hpp"
#include "arena/changes.hpp"

namespace shoal {

namespace {

std::uint64_t signature_of(const std::array<char, 64>& words) noexcept {
    return XXH3_64bits(words.data(), words.size());
}

}  // namespace

ArenaPlan plan_arena(std::uint64_t arena_bytes) noexcept {
    ArenaPlan plan;
    const auto lay_out = [&](std::uint64_t pieces) {
        plan.page_count = pieces * kPiecePages;
        const std::uint64_t map_bytes = round_up((plan.page_count + 63) / 64 * 8, 4096);
        plan.slots_at = kSlotsAt;
        plan.used_at = plan.slots_at + kSlotTableBytes;
        plan.real_at = plan.used_at + map_bytes;
        plan.tables_at = plan.real_at + map_bytes;
        plan.owners_at = plan.tables_at + round_up((pieces + 63) / 64 * 8, 4096);
        plan.partial_at = plan.owners_at + round_up(plan.page_count * sizeof(PageOwner), 4096);
        plan.block_bits_at = plan.partial_at + round_up(kSizeClasses * ((plan.page_count + 63) / 64 * 8), 4096);
        plan.pages_at = round_up(plan.block_bits_at + pieces * kBlockBitsBytes, kPieceBytes);
        return plan.pages_at + pieces * kPieceBytes;
    };
    std::uint64_t pieces = arena_bytes / kPieceBytes;
    while (pieces > 1 && lay_out(pieces) > arena_bytes) {
        const std::uint64_t excess = (lay_out(pieces) - arena_bytes) / kPieceBytes;
        pieces -= excess > 1 ? excess / 2 : 1;
    }
    lay_out(pieces);
    return plan;
}

std::array<char, 64> layout_words() noexcept {
    std::array<char, 64> words{};
    fmt::format_to_n(words.data(), words.size() - 1, "arena {} {} header {} slots {}x{} classes {}", kArenaVersion,
                     std::endian::native == std::endian::little ? "LE" : "BE", sizeof(ArenaHeader), kSlots,
                     sizeof(Slot), kSizeClasses);
    return words;
}

std::uint64_t layout_signature() noexcept { return signature_of(layout_words()); }

bool has_layout_of_some_build(const ArenaHeader& header) noexcept {
    return header.signature == signature_of(header.layout);
}

std::string check_layout(const ArenaHeader& header) {
    if (header.magic.load(std::memory_order_acquire) != kArenaMagic) {  // pairs with the creator's release
        return "it does not begin with shoal's magic number";
    }
    if (header.signature == layout_signature() && header.layout == layout_words()) return {};
    const std::string_view theirs(header.layout.data(), strnlen(header.layout.data(), header.layout.size()));
    std::string printable;
    for (const char letter : theirs) printable += letter >= ' ' && letter <= '~' ? letter : '?';
    return fmt::format("it has layout \"{}\" ({:016x}), this build has \"{}\" ({:016x})", printable,
                       header.signature, layout_words().data(), layout_signature());
}

std::string check_header(const ArenaHeader& header, std::uint64_t file_bytes) {
    if (header.arena_bytes != file_bytes) {
        return fmt::format("the header says {} bytes, the file has {}", header.arena_bytes, file_bytes);
    }
    if (file_bytes < kMinimumArenaBytes || file_bytes % kPieceBytes != 0) {
        return fmt::format("{} bytes is no size of an arena", file_bytes);
    }
    const ArenaPlan plan = plan_arena(file_bytes);
    if (header.page_count != plan.page_count || header.slots_at != plan.slots_at ||
        header.used_at != plan.used_at || header.real_at != plan.real_at || header.tables_at != plan.tables_at ||
        header.owners_at != plan.owners_at || header.partial_at != plan.partial_at ||
        header.block_bits_at != plan.block_bits_at || header.pages_at != plan.pages_at) {
        return "the places of its tables are not those of its size";
    }
    if (!std::has_single_bit(header.first_segment_bytes) || !std::has_single_bit(header.max_segment_bytes) ||
        header.first_segment_bytes < 64 || header.max_segment_bytes < 64 * 1024 ||
        header.max_segment_bytes > 1U << 20 || header.first_segment_bytes > header.max_segment_bytes) {
        return fmt::format("segment sizes {} to {} cannot be", header.first_segment_bytes,
                           header.max_segment_bytes);
    }
    const std::uint64_t tree = header.tree.load(std::memory_order_acquire);
    if (tree < plan.pages_at || tree >= file_bytes || tree % 64 != 0) {
        return fmt::format("the index's offset {} lies outside of the data", tree);
    }
    if ((header.epoch.load(std::memory_order_acquire) & ~kDestroyedBit) == 0) return "its epoch is 0";
    const std::uint64_t files = header.spill_files_at;  // a page, or none
    if (files != 0 && (files < plan.pages_at || files > file_bytes - kPageBytes || files % kPageBytes != 0)) {
        return fmt::format("its spill files' table at {} is no page of the data", files);
    }
    const std::uint64_t log = header.changes_at;  // pages, where there is that table
    const std::uint64_t log_bytes = change_log_bytes(file_bytes);
    if ((log != 0) != (files != 0) ||
        (log != 0 && (log < plan.pages_at || log > file_bytes - log_bytes || log % kPageBytes != 0 ||
                      header.changes_most != log_bytes / sizeof(std::uint64_t)))) {
        return fmt::format("its log of changes at {} is no run of pages of the data", log);
    }
    if (header.flags != 0 && header.flags != kTemporaryFlag) return "its flags cannot be";
    if (header.spill_folder.back() != '\0' || (header.spill_folder.front() == '\0') != (files == 0)) {
        return "its folder of spill files is none";
    }
    return {};
}

}  // namespace shoal
