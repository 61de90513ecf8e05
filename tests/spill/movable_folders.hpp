// Stores with their spill files in their own directories, to be moved and copied.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "durable_place.hpp"
#include "folders.hpp"

namespace shoal_test {

struct MovableFolders : Folders {
    [[nodiscard]] shoal::Options durable_options() const {
        shoal::Options options = Folders::options();
        options.spill_dir.clear();
        options.durable = true;
        return options;
    }
    // Opened, with values in files and in memory, and synced.
    [[nodiscard]] shoal::Store make(const std::string& name = "store") const {
        return filled(shoal::Store::open(path(name), durable_options()));
    }
    [[nodiscard]] static shoal::Store filled(shoal::Result<shoal::Store> store) {
        REQUIRE_OK(store);
        for (std::uint64_t key = 0; key < 12; ++key)
            REQUIRE_OK(store->append(std::to_string(key), pattern(kMiB, key)));
        REQUIRE_OK(store->append("small", "red,"));
        REQUIRE_OK(store->sync());
        REQUIRE(store->stats()->spilled_bytes > 0);
        return std::move(*store);
    }
    [[nodiscard]] static Values values() {
        Values values{{"small", "red,"}};
        for (std::uint64_t key = 0; key < 12; ++key) values[std::to_string(key)] = pattern(kMiB, key);
        return values;
    }
    [[nodiscard]] static bool has_all(const shoal::Store& store) { return values_of(store) == values(); }
    void copy(const std::string& from, const std::string& to) const { copy_to(from, path(to)); }
    void copy_to(const std::string& from, const std::string& to) const {
        REQUIRE(std::system(("cp -a '" + path(from) + "' '" + to + "'").c_str()) == 0);
    }
    void move(const std::string& from, const std::string& to) const {
        std::filesystem::rename(path(from), path(to));
    }
};

inline bool is_sound(const std::string& path) {
    const auto report = shoal::Store::verify(path, {});
    return report && report->damage.empty();
}

}  // namespace shoal_test
