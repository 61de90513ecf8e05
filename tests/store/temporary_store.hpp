// Places for stores that clean up behind a test: a temporary directory, and a store path in one.
#pragma once

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include <shoal/store.hpp>

namespace shoal_test {

class TemporaryDirectory {
public:
    explicit TemporaryDirectory(const std::string& parent = std::filesystem::temp_directory_path().string())
        : path_(parent + "/shoal-test-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) {
            std::perror(path_.c_str());
            std::abort();
        }
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::string& path() const { return path_; }
    std::string operator/(const std::string& entry) const { return path_ + "/" + entry; }

    // Everything below the directory, by relative name.
    std::set<std::string> entries() const { return entries_of(path_); }

    static std::set<std::string> entries_of(const std::string& directory) {
        std::set<std::string> names;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
            names.insert(std::filesystem::relative(entry.path(), directory).string());
        return names;
    }

private:
    std::string path_;
};

// To destroy a store that is open, by the test itself for instance.
inline shoal::Options by_force() {
    shoal::Options options;
    options.force = true;
    return options;
}

// A path for a store, whose arena goes where the library puts it; the store is destroyed at the end.
class TemporaryStore {
public:
    TemporaryStore() = default;
    ~TemporaryStore() { (void)shoal::Store::destroy(path(), by_force()); }

    std::string path() const { return directory_ / "store"; }
    const TemporaryDirectory& directory() const { return directory_; }

private:
    TemporaryDirectory directory_;
};

// A store's options for tests: small limits keep a test's memory in sight.
inline shoal::Options with_limit(std::uint64_t limit_bytes) {
    shoal::Options options;
    options.memory_limit_bytes = limit_bytes;
    return options;
}

inline constexpr std::uint64_t kMiB = 1U << 20;

}  // namespace shoal_test
