(function_definition) @def.function
(struct_specifier name: (_) body: (_)) @def.struct
(union_specifier name: (_) body: (_)) @def.struct
(enum_specifier name: (_) body: (_)) @def.enum
; A type without a name has that of the declaration around it.
(type_definition type: [(struct_specifier !name body: (_)) (union_specifier !name body: (_))]) @def.struct
(type_definition type: (enum_specifier !name body: (_))) @def.enum
; Other names of types; `typedef struct a a` gives none.
(type_definition type: [(struct_specifier name: (_) @_tag !body) (union_specifier name: (_) @_tag !body)
  (enum_specifier name: (_) @_tag !body)] declarator: (_) @_name (#not-eq? @_tag @_name)) @def.type
(type_definition type: [(struct_specifier name: (_) @_tag body: (_)) (union_specifier name: (_) @_tag body: (_))
  (enum_specifier name: (_) @_tag body: (_))] declarator: (_) @def.type (#not-eq? @_tag @def.type))
(type_definition type: [(primitive_type) (sized_type_specifier) (type_identifier)]) @def.type
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (field_identifier) @call))
(preproc_include) @import.include
(preproc_function_def) @def.macro
(comment) @comment
(binary_expression) @binary
(preproc_if condition: (_) @directive)
(preproc_elif condition: (_) @directive)
