# The JavaScript libraries of the server's page, from third_party/page_libraries into the package.

aspd_fetch(fetch_page.py page_libraries.json fetch_page.py fetch.py)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/third_party/page_libraries/" DESTINATION aspd_local/server/page/vendor
  PATTERN .aspd-stamp EXCLUDE)
