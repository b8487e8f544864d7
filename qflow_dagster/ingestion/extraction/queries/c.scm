(function_definition) @def.function
(struct_specifier name: (_) body: (_)) @def.struct
(union_specifier name: (_) body: (_)) @def.struct
(enum_specifier name: (_) body: (_)) @def.enum
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (field_identifier) @call))
(preproc_include) @import.include
(preproc_function_def) @def.macro
(comment) @comment
(binary_expression) @binary
(preproc_if condition: (_) @directive)
(preproc_elif condition: (_) @directive)
