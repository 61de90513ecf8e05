// A place for a store that spills: its directory, and a folder for its spill files.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/temporary_store.hpp"

namespace shoal_test {

class SpillingPlace {
public:
    SpillingPlace() { std::filesystem::create_directory(folder()); }
    ~SpillingPlace() { (void)shoal::Store::destroy(path(), by_force()); }
    SpillingPlace(const SpillingPlace&) = delete;
    SpillingPlace& operator=(const SpillingPlace&) = delete;

    std::string path() const { return directory_ / "store"; }
    std::string folder() const { return directory_ / "spill"; }

    // With that memory limit; small appends that find no room fail after some seconds.
    shoal::Options options(std::uint64_t limit_bytes, const std::string& codec = "none") const {
        shoal::Options options = with_limit(limit_bytes);
        options.spill_dir = folder();
        options.codec = shoal::parse_codec(codec).value();
        return options;
    }

    std::vector<std::string> spill_files() const {
        std::vector<std::string> files;
        for (const auto& entry : std::filesystem::directory_iterator(folder())) files.push_back(entry.path());
        return files;
    }

    // What the file system has given for the spill files.
    std::uint64_t disk_bytes() const {
        std::uint64_t bytes = 0;
        for (const std::string& file : spill_files()) {
            struct stat info {};
            if (::stat(file.c_str(), &info) == 0) bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
        }
        return bytes;
    }

private:
    TemporaryDirectory directory_;
};

}  // namespace shoal_test
