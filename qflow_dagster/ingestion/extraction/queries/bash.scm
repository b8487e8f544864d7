(function_definition) @def.function
(command name: (command_name (word) @call))
(command name: (command_name (word) @_source) . argument: (_) @import.source (#any-of? @_source "source" "."))
(comment) @comment
[(list) (binary_expression)] @binary
