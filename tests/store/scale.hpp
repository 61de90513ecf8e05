// How much a test does: everything in a release build, a part of it under a sanitizer. SHOAL_TEST_SCALE (1 is
// everything) overrides both.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace shoal_test {

#if defined(__has_feature)
#define SHOAL_TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define SHOAL_TEST_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || SHOAL_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || SHOAL_TEST_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

inline constexpr bool kSanitizer = kThreadSanitizer || kAddressSanitizer;

// Two Stores of one path in a process have the arena mapped twice, as has Store::verify beside them.
// ThreadSanitizer goes by addresses: what one thread makes and another publishes for it by way of the other
// mapping, as whoever helps does, looks like a race to all who read it.
inline constexpr const char* kTwoMappings = "ThreadSanitizer takes two mappings of an arena for two memories";

// The one of clang 14 does not take its allocator's locks over a fork, so a child waits for ever for one that a
// thread of its parent's had.
inline constexpr const char* kForkBesideThreads =
    "AddressSanitizer's allocator does not outlive a fork beside threads";

inline double scale() {
    static const double value = [] {
        const char* text = std::getenv("SHOAL_TEST_SCALE");
        if (text != nullptr) return std::strtod(text, nullptr);
        return kSanitizer ? 0.1 : 1.0;
    }();
    return value;
}

// `full` times the scale, at least `least`.
inline std::size_t scaled(std::size_t full, std::size_t least = 1) {
    const auto part = static_cast<std::size_t>(static_cast<double>(full) * scale());
    return part < least ? least : part;
}

}  // namespace shoal_test
