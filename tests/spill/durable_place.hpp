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

#include "folders.hpp"

namespace shoal_test {

using Values = std::map<std::string, std::string>;

class DurablePlace {
public:
    [[nodiscard]] std::string path() const { return folders_.path(); }
    [[nodiscard]] std::string folder() const { return folders_.spills.path(); }
    [[nodiscard]] std::string arenas() const { return folders_.arenas.path(); }
    [[nodiscard]] shoal::Options options(std::uint64_t limit_bytes, const std::string& codec = "none") const {
        shoal::Options options = folders_.options();
        options.memory_limit_bytes = limit_bytes;
        options.spill_thread = true;
        options.codec = shoal::parse_codec(codec).value();
        return options;
    }
    void lose_memory() const { folders_.lose_memory(); }
    [[nodiscard]] bool has_arena() const { return !folders_.arenas.entries().empty(); }
    // The newest that has its name; "" for none.
    [[nodiscard]] std::string checkpoint() const {
        std::string newest;
        for (const std::string& name : folders_.spills.entries()) {
            if (name.find("-checkpoint") == std::string::npos || name.ends_with(".new")) continue;
            if (std::pair(name.size(), name) > std::pair(newest.size(), newest)) newest = name;
        }
        return newest.empty() ? "" : folders_.spills / newest;
    }
    [[nodiscard]] std::size_t checkpoints() const {  // that have their names, or none yet
        std::size_t count = 0;
        for (const std::string& name : folders_.spills.entries())
            count += name.find("-checkpoint") != std::string::npos;
        return count;
    }
    [[nodiscard]] std::vector<std::string> spill_files() const { return folders_.spill_files(); }
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
    Folders folders_;
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
