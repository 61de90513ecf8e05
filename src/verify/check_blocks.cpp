#include "verify/check_blocks.hpp"

#include <bit>

#include <fmt/format.h>

namespace shoal {
namespace {

std::uint64_t blocks_in_word(std::uint32_t size_class) noexcept {  // of a page's words, those that are used
    const std::uint64_t blocks = (kPageBytes / kSmallestBlockBytes) >> size_class;
    return blocks >= 64 ? ~0ULL : (1ULL << blocks) - 1;
}
std::uint64_t words_in_page(std::uint32_t size_class) noexcept {
    return std::max<std::uint64_t>(kWordsAPage >> size_class, 1);
}

void check_zero(Inspection& inspection, std::uint64_t begin, std::uint64_t bytes) {
    if (const std::byte* at = inspection.bytes().first_not_zero(begin, bytes); at != nullptr) {
        const auto offset = static_cast<std::uint64_t>(at - inspection.mapping().at<std::byte>(0UL));
        inspection.damage("blocks I6", offset, "is free, and not zero");
    }
}

void leak(Inspection& inspection, std::uint64_t offset, std::uint64_t bytes, bool unwritten) {
    VerifyReport& report = inspection.report();
    report.blocks_leaked += 1;
    report.leaked_bytes += bytes;
    inspection.leaks.push_back({offset, bytes, unwritten});
}

void check_no_bits(Inspection& inspection, std::uint64_t page, std::uint64_t from_word, std::uint64_t mask) {
    for (std::uint64_t word = from_word; word < kWordsAPage; ++word, mask = ~0ULL) {
        if ((inspection.block_word(page, word) & mask) == 0) continue;
        inspection.damage("blocks I2", inspection.block_word_at(page, word),
                          fmt::format("page {} has free blocks that cannot be there", page));
        return;
    }
}

void check_cut_page(Inspection& inspection, std::uint64_t page, std::uint32_t size_class) {
    VerifyReport& report = inspection.report();
    const std::uint64_t block_bytes = Inspection::block_bytes_of_class(size_class);
    const std::uint64_t words = words_in_page(size_class);
    const std::uint64_t full = blocks_in_word(size_class);
    if (!inspection.page_real(page) || !inspection.page_has_tables(page)) {
        inspection.damage("blocks I5", inspection.owner_at(page),
                          fmt::format("page {} is cut into blocks, and was not made real", page));
        return;
    }
    const std::uint64_t leaked_before = report.blocks_leaked;
    std::uint64_t free_blocks = 0;
    for (std::uint64_t word = 0; word < words; ++word) {
        const std::uint64_t free = inspection.block_word(page, word) & full;
        free_blocks += static_cast<std::uint64_t>(std::popcount(free));
        for (std::uint64_t bit = 0; bit < 64 && (full >> bit & 1) != 0; ++bit) {
            const std::uint64_t at = inspection.page_at(page) + (word * 64 + bit) * block_bytes;
            if ((free >> bit & 1) != 0) {
                check_zero(inspection, at, block_bytes);
            } else if (!inspection.was_reached(at)) {
                leak(inspection, at, block_bytes, false);
            }
        }
    }
    check_no_bits(inspection, page, words - 1, ~full);
    report.blocks_free += free_blocks;
    const bool source = inspection.sources.contains(page);
    if (source) report.blocks_free_in_sources += free_blocks;
    if (free_blocks != 0 && !source && !inspection.page_partial(page, size_class)) {
        inspection.lost_pages.push_back(page);
        report.blocks_leaked += free_blocks;
        report.leaked_bytes += free_blocks * block_bytes;
    }
    report.pages_with_leaks += report.blocks_leaked != leaked_before ? 1 : 0;
}

}  // namespace

void check_blocks(Inspection& inspection) {
    std::uint64_t leaked_run = 0;  // pages in a row that nobody reached, of which the last is before `page`
    bool run_unwritten = true;
    const auto end_run = [&](std::uint64_t page) {
        if (leaked_run != 0) {
            leak(inspection, inspection.page_at(page - leaked_run), leaked_run * kPageBytes, run_unwritten);
            inspection.report().pages_with_leaks += 1;
        }
        leaked_run = 0;
        run_unwritten = true;
    };
    for (std::uint64_t page = 0; page < inspection.pages(); ++page) {
        const PageOwner owner = inspection.page_owner(page);
        const bool used = inspection.page_used(page);
        // In the hands of the dead it may be anything: recovery makes it free.
        const bool dead = inspection.in_dead_hands(page);
        const bool in_run = !dead && (owner == kPageInRun || is_in_transit(owner));
        if (!in_run || inspection.was_reached(inspection.page_at(page))) end_run(page);
        if (dead) continue;
        if (owner == kLeftPage && used) continue;  // release_empty_pages makes it free
        if (owner != kPageFree && !in_run && !is_page_of_blocks(owner) && !is_changing(owner)) {
            inspection.damage("blocks I1", inspection.owner_at(page),
                              fmt::format("page {} has owner word {:#x}", page, owner));
            continue;
        }
        if (used != (owner != kPageFree) && !is_in_transit(owner)) {
            inspection.damage("blocks I1", inspection.owner_at(page),
                              fmt::format("page {} is {} in the page map, and has owner word {:#x}", page,
                                          used ? "used" : "free", owner));
            continue;
        }
        if (is_page_of_blocks(owner)) {
            check_cut_page(inspection, page, class_of_page(owner));
            continue;
        }
        if (is_changing(owner)) {  // looked at by the dead, or in a repair that was killed
            check_cut_page(inspection, page, class_of_changing(owner));
            if (!inspection.sources.contains(page)) inspection.lost_pages.push_back(page);
            continue;
        }
        check_no_bits(inspection, page, 0, ~0ULL);
        if (owner == kPageFree) {
            inspection.report().pages_free += 1;
            if (inspection.page_real(page)) check_zero(inspection, inspection.page_at(page), kPageBytes);
        } else if (!inspection.was_reached(inspection.page_at(page))) {
            ++leaked_run;
            run_unwritten &= !inspection.page_real(page);
        }
    }
    end_run(inspection.pages());
    const std::uint64_t behind = inspection.page_map_words() * 64;
    for (std::uint64_t page = inspection.pages(); page < behind; ++page) {
        if (!inspection.page_used(page)) continue;
        inspection.damage("blocks I1", inspection.used_at() + page / 64 * 8,
                          fmt::format("page {} is taken, of {}", page, inspection.pages()));
    }
}

}  // namespace shoal
