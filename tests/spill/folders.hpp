// Folders for a test's stores, their arenas and their spill files, which no other test has.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/temporary_store.hpp"

namespace shoal_test {

struct Folders {
    TemporaryDirectory stores;
    TemporaryDirectory arenas{"/dev/shm"};
    TemporaryDirectory spills;

    ~Folders() {
        shoal::Options options = by_force();
        options.any_owner = true;
        for (const std::string& name : stores.entries()) (void)shoal::Store::destroy(stores / name, options);
    }
    [[nodiscard]] std::string path(const std::string& name = "store") const { return stores / name; }
    [[nodiscard]] shoal::Options options() const {
        shoal::Options options = with_limit(8 * kMiB);
        options.arena_dir = arenas.path();
        options.spill_dir = spills.path();
        options.spill_thread = false;
        return options;
    }
    // While no process has a store open.
    void lose_memory() const {
        for (const std::string& name : arenas.entries()) std::filesystem::remove(arenas / name);
    }
    [[nodiscard]] std::vector<std::string> spill_files() const {
        std::vector<std::string> files;
        for (const std::string& name : spills.entries()) {
            if (name.ends_with(".spill")) files.push_back(spills / name);
        }
        return files;
    }
    [[nodiscard]] bool are_empty() const {
        return stores.entries().empty() && arenas.entries().empty() && spills.entries().empty();
    }
};

}  // namespace shoal_test
