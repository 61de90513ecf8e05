// A small store that fuzz targets damage, use and put right again, thousands of times a second.
//
// It is the same at each start, but for its id: the seed of its hashes is set before the first key comes. Its arena
// is sparse; putting it right compares the pages that it had, and gives back those that it had not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "store/directory.hpp"

namespace shoal_fuzz {

class Victim {
public:
    static Victim& instance();  // made at the first call, destroyed at the process's end

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    // Words that lead somewhere, by what they are part of; the regions that mutations choose from.
    [[nodiscard]] const std::vector<std::vector<std::uint64_t>>& words() const noexcept { return words_; }
    // Offsets of whole objects of every kind.
    [[nodiscard]] const std::vector<std::uint64_t>& objects() const noexcept { return objects_; }

    void restore();

    Victim(const Victim&) = delete;
    Victim& operator=(const Victim&) = delete;

private:
    Victim();
    ~Victim();
    void fill();
    void find_words(const shoal::Mapping& mapping);
    template <class Visit>
    void each_extent(Visit&& visit) const;

    std::string directory_;
    std::string path_;
    int file_ = -1;
    std::byte* bytes_ = nullptr;
    std::uint64_t size_ = 0;
    std::vector<std::byte> pages_;  // of the whole arena: which bytes each page had
    std::vector<bool> had_;         // and which pages there were
    std::vector<std::vector<std::uint64_t>> words_;
    std::vector<std::uint64_t> objects_;
};

// Every operation on the damaged store: each gives a value or an error, and comes to an end.
void use_everything(const std::string& path);

}  // namespace shoal_fuzz
