// A place for a store that is synced, and the loss of the machine's memory: the arena, which nothing else has.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <shoal/store.hpp>

#include "../store/temporary_store.hpp"

namespace shoal_test {

using Values = std::map<std::string, std::string>;

class DurablePlace {
public:
    ~DurablePlace() { (void)shoal::Store::destroy(path(), by_force()); }

    [[nodiscard]] std::string path() const { return stores_ / "store"; }
    [[nodiscard]] std::string folder() const { return spills_.path(); }
    [[nodiscard]] std::string arenas() const { return arenas_.path(); }
    [[nodiscard]] shoal::Options options(std::uint64_t limit_bytes, const std::string& codec = "none") const {
        shoal::Options options = with_limit(limit_bytes);
        options.arena_dir = arenas_.path();
        options.spill_dir = spills_.path();
        options.codec = shoal::parse_codec(codec).value();
        return options;
    }

    // While nobody has the store open.
    void lose_memory() const {
        for (const std::string& name : arenas_.entries()) std::filesystem::remove(arenas_ / name);
    }
    [[nodiscard]] bool has_arena() const { return !arenas_.entries().empty(); }
    // The newest that has its name; "" for none.
    [[nodiscard]] std::string checkpoint() const {
        std::string newest;
        for (const std::string& name : spills_.entries()) {
            if (name.find("-checkpoint") == std::string::npos || name.ends_with(".new")) continue;
            if (std::pair(name.size(), name) > std::pair(newest.size(), newest)) newest = name;
        }
        return newest.empty() ? "" : spills_ / newest;
    }
    [[nodiscard]] std::size_t checkpoints() const {  // that have their names, or none yet
        std::size_t count = 0;
        for (const std::string& name : spills_.entries()) count += name.find("-checkpoint") != std::string::npos;
        return count;
    }
    [[nodiscard]] std::vector<std::string> spill_files() const {
        std::vector<std::string> files;
        for (const std::string& name : spills_.entries()) {
            if (name.ends_with(".spill")) files.push_back(spills_ / name);
        }
        return files;
    }
    // What the file system has given for the spill files.
    [[nodiscard]] std::uint64_t disk_bytes() const {
        std::uint64_t bytes = 0;
        for (const std::string& file : spill_files()) {
            struct stat info {};
            if (::stat(file.c_str(), &info) == 0) bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
        }
        return bytes;
    }

private:
    TemporaryDirectory stores_;
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory spills_;
};

inline Values values_of(const shoal::Store& store) {
    Values values;
    const auto keys = store.keys();
    for (const auto& key : *keys) {
        const auto value = store.get(key);
        values[std::string(key.text())] = value ? std::string(value->text()) : "error: " + value.error().message;
    }
    return values;
}

}  // namespace shoal_test
