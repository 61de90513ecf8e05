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
