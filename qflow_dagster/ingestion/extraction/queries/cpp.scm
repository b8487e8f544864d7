(field_declaration declarator: (function_declarator) default_value: (_)) @def.method
; An empty body before a semicolon is read as an initializer.
(field_declaration declarator: [(pointer_declarator (function_declarator)) (reference_declarator (function_declarator))]
  default_value: (initializer_list)) @def.method
(declaration declarator: (init_declarator
  declarator: [(function_declarator) (pointer_declarator (function_declarator)) (reference_declarator (function_declarator))]
  value: (initializer_list))) @def.function
(init_declarator declarator: (identifier) value: (lambda_expression)) @def.function
(class_specifier name: (_) body: (_)) @def.class
(namespace_definition) @def.module
(alias_declaration) @def.type
(concept_definition) @def.type
(type_definition type: [(qualified_identifier) (template_type) (decltype)]) @def.type
(call_expression function: (qualified_identifier name: (identifier) @call))
(call_expression function: (template_function name: (identifier) @call))
(new_expression type: (type_identifier) @call)
(new_expression type: (template_type name: (type_identifier) @call))
