// Assertions on Result<T> that say what the error was. REQUIRE_OK and REQUIRE_CODE are for the thread that runs
// the test case; EXPECT_OK, EXPECT_CODE and EXPECT are for bodies in threads and forked children, which must not
// use Catch2: they leave a function that returns std::string, with what failed ("" means that all held).
#pragma once

#include <string>

#include <shoal/store.hpp>

#include "catch.hpp"

namespace Catch {
template <>
struct StringMaker<shoal::Code> {
    static std::string convert(shoal::Code code) { return "'" + std::string(shoal::name(code)) + "'"; }
};
}  // namespace Catch

namespace shoal_test {

template <class T>
std::string describe(const shoal::Result<T>& result) {
    if (result.has_value()) return "success";
    return "'" + std::string(shoal::name(result.error().code)) + "': " + result.error().message + " (errno " +
           std::to_string(result.error().system_errno) + ")";
}

template <class T>
bool failed_with(const shoal::Result<T>& result, shoal::Code code) {
    return !result.has_value() && result.error().code == code;
}

inline std::string failure_at(const char* file, int line, const std::string& what) {
    return std::string(file) + ":" + std::to_string(line) + ": " + what;
}

}  // namespace shoal_test

#define REQUIRE_OK(expression)                \
    do {                                      \
        auto&& required = (expression);       \
        INFO(#expression);                    \
        INFO(shoal_test::describe(required)); \
        REQUIRE(required.has_value());        \
    } while (false)

#define REQUIRE_CODE(expression, expected_code)          \
    do {                                                 \
        auto&& required = (expression);                  \
        INFO(#expression);                               \
        INFO(shoal_test::describe(required));            \
        REQUIRE_FALSE(required.has_value());             \
        REQUIRE(required.error().code == expected_code); \
        REQUIRE_FALSE(required.error().message.empty()); \
    } while (false)

#define EXPECT(condition)                                                                           \
    do {                                                                                            \
        if (!(condition)) return shoal_test::failure_at(__FILE__, __LINE__, "not so: " #condition); \
    } while (false)

#define EXPECT_OK(expression)                                                                     \
    do {                                                                                          \
        auto&& expected = (expression);                                                           \
        if (!expected.has_value())                                                                \
            return shoal_test::failure_at(__FILE__, __LINE__,                                     \
                                          #expression " gave " + shoal_test::describe(expected)); \
    } while (false)

#define EXPECT_CODE(expression, expected_code)                                                        \
    do {                                                                                              \
        auto&& expected = (expression);                                                               \
        if (!shoal_test::failed_with(expected, expected_code))                                        \
            return shoal_test::failure_at(                                                            \
                __FILE__, __LINE__,                                                                   \
                #expression " must give " #expected_code ", gave " + shoal_test::describe(expected)); \
    } while (false)
