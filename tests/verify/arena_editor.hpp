// An arena that nobody is attached to, its words laid open: to be damaged, looked at, and put right again.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "index/index.hpp"
#include "spill/file_table.hpp"
#include "store/directory.hpp"
#include "store/hash.hpp"

namespace shoal_test {

class ArenaEditor {
public:
    explicit ArenaEditor(const std::string& path) : opened_(std::move(*shoal::attach_existing(path))) {}
    ~ArenaEditor() { undo(); }
    ArenaEditor(const ArenaEditor&) = delete;
    ArenaEditor& operator=(const ArenaEditor&) = delete;

    const shoal::Mapping& mapping() const { return opened_.mapping; }

    shoal::ArenaHeader& header() const { return mapping().header(); }
    template <class T>
    T& at(std::uint64_t offset) const {
        return *mapping().at<T>(offset);
    }
    std::uint64_t offset_of(const void* address) const {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - mapping().at<std::byte>(0UL));
    }

    // Writes any field; undo() gives each its first value again, in any order of writes.
    template <class Field, class Value>
    void set(Field& field, Value value) {
        static_assert(sizeof(Field) <= 8);
        Written written{&field, sizeof field, {}};
        std::memcpy(written.before, static_cast<const void*>(&field), sizeof field);
        written_.push_back(written);
        const auto wide = static_cast<std::uint64_t>(value);
        std::memcpy(static_cast<void*>(&field), &wide, sizeof field);  // little-endian, as the arena
    }
    template <class Field>
    static std::uint64_t get(const Field& field) {
        std::uint64_t value = 0;
        std::memcpy(&value, static_cast<const void*>(&field), sizeof field);
        return value;
    }
    void undo() {
        for (auto written = written_.rbegin(); written != written_.rend(); ++written) {
            std::memcpy(written->at, written->before, written->bytes);
        }
        written_.clear();
    }

    void keep() { written_.clear(); }  // the damage stays

    // --- where things are ---
    shoal::Tree& tree() const { return at<shoal::Tree>(get(header().tree)); }
    shoal::Entry& entry(std::uint64_t hash) const {
        std::uint64_t node = tree().root;
        unsigned consumed = shoal::kRootBits;
        std::uint64_t index = hash >> (64 - consumed);
        for (;;) {
            auto& found = at<shoal::Entry>(node + index * 8);
            if ((get(found) & shoal::kNodeTag) == 0) return found;
            node = get(found) & ~shoal::kNodeTag;
            consumed += shoal::kNodeBits;
            index = hash >> (64 - consumed) & ((1U << shoal::kNodeBits) - 1);
        }
    }
    std::uint64_t hash(const std::string& key) const { return shoal::hash_key(key, header().hash_seed); }
    shoal::Leaf& leaf(const std::string& key) const { return at<shoal::Leaf>(get(entry(hash(key)))); }
    // The word of the leaf that names the key's chain.
    shoal::Atomic<std::uint64_t>& slot(const std::string& key) const {
        for (auto& word : leaf(key).slots) {
            if (!shoal::is_chain(get(word))) continue;
            if (at<shoal::Chain>(raw(shoal::slot_chain(get(word)))).has_key(hash(key), key)) return word;
        }
        throw std::runtime_error("no such key: " + key);
    }
    shoal::Chain& chain(const std::string& key) const {
        return at<shoal::Chain>(raw(shoal::slot_chain(get(slot(key)))));
    }
    // The number-th segment of the key's value, from 0; -1 is the tail.
    shoal::Segment& segment(const std::string& key, int number) const {
        if (number < 0) return at<shoal::Segment>(get(chain(key).tail));
        std::uint64_t offset = chain(key).root;
        for (; number > 0; --number) offset = get(at<shoal::Segment>(offset).next);
        return at<shoal::Segment>(offset);
    }
    shoal::AtomicWord& frame(const shoal::Segment& segment, std::uint64_t unit) const {
        return at<shoal::AtomicWord>(get(segment.block) + unit * 8);
    }
    shoal::Slot& process_slot(std::uint32_t number) const {
        return at<shoal::Slot>(header().slots_at + number * sizeof(shoal::Slot));
    }

    shoal::SpillFile& spill_file(std::uint32_t number) const {
        return at<shoal::SpillFileTable>(header().spill_files_at)[number];
    }

    // --- the allocator's words for what lies at an offset ---
    std::uint64_t page_of(const void* object) const {
        return (offset_of(object) - header().pages_at) / shoal::kPageBytes;
    }
    shoal::AtomicWord& used(std::uint64_t page) const {
        return at<shoal::AtomicWord>(header().used_at + page / 64 * 8);
    }
    shoal::AtomicWord& real(std::uint64_t page) const {
        return at<shoal::AtomicWord>(header().real_at + page / 64 * 8);
    }
    shoal::Atomic<shoal::PageOwner>& owner(std::uint64_t page) const {
        return at<shoal::Atomic<shoal::PageOwner>>(header().owners_at + page * sizeof(shoal::PageOwner));
    }
    shoal::AtomicWord& block_word(std::uint64_t page, std::uint64_t word) const {
        return at<shoal::AtomicWord>(header().block_bits_at + (page * shoal::kWordsAPage + word) * 8);
    }
    shoal::AtomicWord& partial(std::uint64_t page, std::uint32_t size_class) const {
        const std::uint64_t words = (header().page_count + 63) / 64;
        return at<shoal::AtomicWord>(header().partial_at + (size_class * words + page / 64) * 8);
    }
    // A page that has been made real, and is taken, or free.
    std::uint64_t real_page(bool taken) const {
        for (std::uint64_t page = 0; page < header().page_count; ++page) {
            const std::uint64_t bit = 1ULL << (page % 64);
            if ((get(real(page)) & bit) != 0 && ((get(used(page)) & bit) != 0) == taken) return page;
        }
        throw std::runtime_error("no such page");
    }

private:
    struct Written {
        void* at;
        std::size_t bytes;
        unsigned char before[8];
    };
    shoal::OpenedArena opened_;
    std::vector<Written> written_;
};

}  // namespace shoal_test
